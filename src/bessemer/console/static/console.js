// Preferences, dialogs, times and live numbers. What anything means is the server's to say.
"use strict";

const root = document.documentElement;
// Of the page's language, the variety that the browser prefers.
const locale = navigator.languages.find((one) => one.startsWith(root.lang.slice(0, 2))) ?? root.lang;
const digits = new Intl.NumberFormat(locale, { maximumSignificantDigits: 3 });
const whole = new Intl.NumberFormat(locale);
const percent = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 0 });
const moment = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });

const written = {
  count: (n) => whole.format(n),
  rate: (n) => (n < 100 ? digits : whole).format(n < 100 ? n : Math.round(n)),
  seconds: (n) => (n < 1 ? `${digits.format(n * 1000)} ms` : `${digits.format(n)} s`),
  share: (n) => percent.format(n),
  bytes: (n) => (n < 1e9 ? `${digits.format(n / 1e6)} MB` : `${digits.format(n / 1e9)} GB`),
};
const write = (as, value) => (value == null ? "–" : written[as](value));
const find = (object, path) => path.split(".").reduce((found, part) => found?.[part], object);

// ---- the page around the numbers

document.addEventListener("click", ({ target }) => {
  const choice = target.closest("[data-cookie]");
  if (choice) {
    const { cookie, value } = choice.dataset;
    const forever = value ? 31536000 : 0;
    document.cookie = `${cookie}=${value}; path=/console; max-age=${forever}; samesite=strict`;
    location.reload();
  }
  const opener = target.closest("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens).showModal();
});

document.addEventListener("keydown", (event) => {
  const asks = event.key === "Enter" && (event.ctrlKey || event.metaKey);
  if (asks && event.target.matches("[data-sends]")) event.target.form.requestSubmit();
});

function tellTimes() {
  for (const time of document.querySelectorAll("time")) {
    time.textContent = moment.format(new Date(time.dateTime));
    time.title = time.dateTime;
  }
}

// ---- charts

const PAST = 300;

/** Return a colour of the style sheet as it is now, in light or dark. */
function colour(name) {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = `var(${name})`;
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

class Chart {
  constructor(figure) {
    this.figure = figure;
    this.series = figure.dataset.chart.split(" ");
    this.plot = figure.querySelector("[data-plot]");
    this.chart = echarts.init(this.plot, null, { renderer: "canvas" });
    this.cursor = null;
    this.plot.addEventListener("mousemove", ({ offsetX, offsetY }) => {
      const [x] = this.chart.convertFromPixel({ gridIndex: 0 }, [offsetX, offsetY]);
      this.cursor = Math.min(0, Math.max(-PAST, Math.round(x)));
      this.tell();
    });
    this.plot.addEventListener("mouseleave", () => {
      this.cursor = null;
      this.tell();
    });
    new ResizeObserver(() => this.chart.resize()).observe(this.plot);
    this.seconds = [];
    this.dress();
  }

  dress() {
    const quiet = colour("--quiet");
    const line = colour("--line");
    const { now, ago } = this.plot.dataset;
    const label = { color: quiet, fontSize: 11 };
    this.chart.setOption({
      animation: false,
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
      grid: { left: 52, right: 14, top: 10, bottom: 24 },
      xAxis: {
        type: "value", min: -PAST, max: 0, interval: 60,
        axisLabel: { ...label, formatter: (x) => (x ? ago.replace("#", -x / 60) : now) },
        axisLine: { lineStyle: { color: line } }, axisTick: { show: false },
        splitLine: { show: false },
      },
      yAxis: {
        type: "value", min: 0, splitNumber: 3, minInterval: this.is("seconds") ? 0 : 1,
        axisLabel: { ...label, formatter: (y) => write(this.figure.dataset.as, y) },
        axisLine: { show: false }, axisTick: { show: false },
        splitLine: { lineStyle: { color: line } },
      },
      series: this.series.map((name, at) => ({
        type: "line", name, silent: true, symbol: "circle", symbolSize: 3,
        showSymbol: this.is("seconds"),
        lineStyle: { width: 1.5 }, color: colour(`--series-${at + 1}`),
        areaStyle: at ? undefined : { opacity: 0.1 },
      })),
    });
  }

  is(as) {
    return this.figure.dataset.as === as;
  }

  draw(seconds) {
    this.seconds = seconds;
    const newest = seconds.at(-1).at;
    const data = (name) => seconds.map((second) => [second.at - newest, second[name]]);
    this.chart.setOption({ series: this.series.map((name) => ({ name, data: data(name) })) });
    this.tell();
  }

  /** Write beside the title what the newest second holds, or the one under the pointer. */
  tell() {
    if (!this.seconds.length) return;
    const at = this.seconds.at(-1).at + (this.cursor ?? 0);
    const second = this.seconds.findLast((one) => one.at <= at);
    for (const name of this.series) {
      const place = this.figure.querySelector(`[data-value="${name}"]`);
      place.textContent = write(this.figure.dataset.as, second?.[name]);
    }
    this.figure.toggleAttribute("data-past", this.cursor !== null);
  }
}

// ---- live numbers

class Live {
  constructor(element) {
    this.address = element.dataset.stream;
    this.charts = [...document.querySelectorAll("[data-chart]")].map((each) => new Chart(each));
    this.seconds = [];
    this.frame = null;
    this.source = null;
    this.again = 0;
    const lightOrDark = matchMedia("(prefers-color-scheme: dark)");
    lightOrDark.addEventListener("change", () => this.charts.forEach((chart) => chart.dress()));
    // A page that nobody sees asks for nothing.
    document.addEventListener("visibilitychange", () => this.follow());
    document.addEventListener("htmx:afterSettle", () => this.frame && this.fill());
    this.follow();
  }

  follow() {
    clearTimeout(this.again);
    this.source?.close();
    this.source = null;
    if (document.hidden) return;
    this.source = new EventSource(this.address);
    this.source.addEventListener("history", ({ data }) => {
      this.seconds = JSON.parse(data);
    });
    this.source.addEventListener("frame", ({ data }) => this.take(JSON.parse(data)));
    this.source.addEventListener("end", ({ data }) => {
      if (JSON.parse(data).session) this.lost();
      else location.reload();
    });
    this.source.addEventListener("error", () => this.lost());
  }

  /** Try again later, or log in again where the session is over. */
  lost() {
    this.source.close();
    this.state("lost");
    this.again = setTimeout(async () => {
      const headers = { "HX-Request": "true" };
      const asked = await fetch(location.pathname, { method: "HEAD", headers }).catch(() => null);
      if (asked?.status === 401) location.reload();
      else this.follow();
    }, 3000);
  }

  take(frame) {
    this.frame = frame;
    if (!(frame.second.at <= this.seconds.at(-1)?.at)) this.seconds.push(frame.second);
    this.seconds = this.seconds.filter((second) => second.at >= frame.second.at - PAST);
    for (const chart of this.charts) chart.draw(this.seconds);
    for (const part of document.querySelectorAll("[data-mark]")) {
      if (part.dataset.mark !== frame.mark) {
        part.dataset.mark = frame.mark;
        htmx.trigger(part, "changed");
      }
    }
    this.fill();
    this.state("on");
  }

  fill() {
    for (const place of document.querySelectorAll("[data-live]")) {
      const route = place.closest("[data-route]");
      const within = route ? this.frame.routes[route.dataset.route] : this.frame;
      const value = find(within, place.dataset.live);
      if (place.matches("meter")) place.value = value ?? 0;
      else place.textContent = write(place.dataset.as, value);
    }
    for (const place of document.querySelectorAll("[data-ready]")) {
      place.textContent = this.frame.ready ? place.dataset.yes : place.dataset.no;
    }
    for (const section of document.querySelectorAll("[data-bases]")) this.list(section);
  }

  list(section) {
    const { bases } = this.frame;
    const template = section.querySelector("template");
    section.querySelector("[data-none]").hidden = bases.length > 0;
    section.querySelector("[data-list]").replaceChildren(
      ...bases.map((base) => {
        const item = template.content.cloneNode(true);
        for (const place of item.querySelectorAll("[data-base]")) {
          const value = find(base, place.dataset.base) ?? 0;
          place.textContent = typeof value === "number" ? whole.format(value) : value;
        }
        const meter = item.querySelector("meter");
        meter.hidden = !base.slots;
        meter.value = base.slots && base.slots_used / base.slots;
        return item;
      }),
    );
  }

  state(name) {
    for (const place of document.querySelectorAll("[data-status]")) {
      if (place.dataset.state === name) continue;
      place.dataset.state = name;
      place.textContent = place.dataset[name];
    }
  }
}

tellTimes();
document.addEventListener("htmx:afterSettle", tellTimes);
const streams = document.querySelector("[data-stream]");
if (streams) new Live(streams);

// Bars of a data set, one above the other by split: its labels, and the lengths of its texts. And
// the course of a training, as two lines.
"use strict";

/** Pixels of a label's bar. */
const BAR = 18;

class Picture {
  constructor(figure) {
    this.figure = figure;
    this.lying = figure.dataset.picture === "labels";
    const { names, values } = JSON.parse(figure.dataset.drawn);
    this.names = names;
    this.values = values;
    this.plot = figure.querySelector("[data-plot]");
    if (this.lying) this.plot.style.height = `${Math.max(170, names.length * BAR + 12)}px`;
    else this.plot.style.height = "240px";
    this.chart = echarts.init(this.plot, null, { renderer: "canvas" });
    this.plot.addEventListener("mousemove", ({ offsetX, offsetY }) => {
      const found = this.chart.convertFromPixel({ gridIndex: 0 }, [offsetX, offsetY]);
      this.tell(found[this.lying ? 1 : 0]);
    });
    this.plot.addEventListener("mouseleave", () => this.tell(null));
    new ResizeObserver(() => {
      this.chart.resize();
      this.dress();
    }).observe(this.plot);
    this.dress();
    this.tell(null);
  }

  dress() {
    const label = { color: colour("--quiet"), fontSize: 11 };
    const line = { lineStyle: { color: colour("--line") } };
    const room = this.lying ? Math.min(170, this.plot.clientWidth * 0.4) : 0;
    const named = {
      type: "category", data: this.names, inverse: this.lying, axisTick: { show: false },
      axisLine: line,
      axisLabel: this.lying
        ? { ...label, interval: 0, width: room - 10, overflow: "truncate" }
        : { ...label, hideOverlap: true, formatter: (name) => name.split("–")[0] },
    };
    const counted = {
      type: "value", min: 0, splitNumber: 3, minInterval: 1, show: !this.lying,
      axisLabel: { ...label, formatter: (n) => write("count", n) }, splitLine: line,
    };
    const total = (at) => this.values.reduce((sum, [, counts]) => sum + counts[at], 0);
    this.chart.setOption({
      animation: false,
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
      grid: this.lying
        ? { left: room, right: 52, top: 2, bottom: 2 }
        : { left: 48, right: 10, top: 10, bottom: 24 },
      xAxis: this.lying ? counted : named,
      yAxis: this.lying ? named : counted,
      series: this.values.map(([name, data], at) => ({
        type: "bar", name, data, stack: "rows", silent: true, color: colour(`--series-${at + 1}`),
        barCategoryGap: this.lying ? "30%" : "8%",
        label: {
          show: this.lying && at === this.values.length - 1, position: "right", ...label,
          formatter: ({ dataIndex }) => write("count", total(dataIndex)),
        },
      })),
    });
  }

  /** Write beside the title what the bar under the pointer holds, or all of them together. */
  tell(at) {
    const told = this.figure.querySelector("[data-told]");
    const name = at == null ? undefined : this.names[Math.round(at)];
    told.textContent = name ?? told.dataset.all;
    for (const [split, counts] of this.values) {
      const value = name === undefined ? null : counts[Math.round(at)];
      const place = this.figure.querySelector(`[data-split="${split}"]`);
      place.textContent = value == null ? "" : write("count", value);
    }
    this.figure.toggleAttribute("data-past", name !== undefined);
  }
}

/** Validation by epoch: the log loss, and the headline metric on an axis of its own. */
class Course {
  constructor(figure) {
    this.figure = figure;
    this.values = Object.entries(JSON.parse(figure.dataset.course));
    this.plot = figure.querySelector("[data-plot]");
    this.plot.style.height = "240px";
    this.chart = echarts.init(this.plot, null, { renderer: "canvas" });
    this.plot.addEventListener("mousemove", ({ offsetX, offsetY }) => {
      this.tell(this.chart.convertFromPixel({ gridIndex: 0 }, [offsetX, offsetY])[0]);
    });
    this.plot.addEventListener("mouseleave", () => this.tell(null));
    new ResizeObserver(() => this.chart.resize()).observe(this.plot);
    this.dress();
    this.tell(null);
  }

  dress() {
    const label = { color: colour("--quiet"), fontSize: 11 };
    const line = { lineStyle: { color: colour("--line") } };
    const epochs = Math.max(...this.values.map(([, values]) => values.length)) - 1;
    this.chart.setOption({
      animation: false,
      textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
      grid: { left: 44, right: 44, top: 12, bottom: 24 },
      xAxis: {
        type: "value", min: 0, max: Math.max(1, epochs), minInterval: 1, axisLabel: label,
        axisLine: line, axisTick: { show: false }, splitLine: { show: false },
      },
      yAxis: this.values.map((_, at) => ({
        type: "value", scale: true, splitNumber: 4, axisLabel: label, axisLine: { show: false },
        axisTick: { show: false },
        splitLine: { show: !at, ...line },
      })),
      series: this.values.map(([name, values], at) => ({
        type: "line", name, yAxisIndex: at, silent: true, symbol: "circle", symbolSize: 5,
        data: values.map((value, epoch) => [epoch, value]), color: colour(`--series-${at + 1}`),
        lineStyle: { width: 1.5 },
      })),
    });
  }

  /** Write beside the title what was reached at the epoch under the pointer, or at the last. */
  tell(at) {
    const told = this.figure.querySelector("[data-told]");
    const last = this.values[0][1].length - 1;
    const epoch = at == null ? last : Math.min(last, Math.max(0, Math.round(at)));
    told.textContent = at == null ? told.dataset.all : told.dataset.epoch.replace("#", epoch);
    for (const [name, values] of this.values) {
      const place = this.figure.querySelector(`[data-value="${name}"]`);
      place.textContent = write("rate", values[epoch]);
    }
    this.figure.toggleAttribute("data-past", at != null);
  }
}

const drawn = new Map();

/** Draw what is on the page and was not drawn yet: a part of it may have come later. */
function draw() {
  for (const [figure, picture] of drawn) {
    if (figure.isConnected) continue;
    picture.chart.dispose();
    drawn.delete(figure);
  }
  for (const figure of document.querySelectorAll("[data-picture], [data-course]")) {
    if (drawn.has(figure)) continue;
    drawn.set(figure, figure.dataset.course ? new Course(figure) : new Picture(figure));
  }
}

// What this file uses stands in console.js, which comes after it.
document.addEventListener("DOMContentLoaded", () => {
  draw();
  document.addEventListener("htmx:afterSettle", draw);
  const lightOrDark = matchMedia("(prefers-color-scheme: dark)");
  lightOrDark.addEventListener("change", () => drawn.forEach((picture) => picture.dress()));
});

// The labelling page: an item at a time, by keyboard; the next one is here before it is wanted.
import { Labels } from "./labels.js";
import { Outbox, Refused } from "./outbox.js";
import { Spans } from "./spans.js";

const COOKIE = "bessemer_suggestions";
const SURE = 0.5;
const whole = new Intl.NumberFormat(document.documentElement.lang);
const touch = matchMedia("(hover: none)");
/** Milliseconds after which what is held is asked for again: the server keeps it for ten minutes. */
const RENEW = 240000;
/** Seconds that an answer takes at most, as the server sees it. */
const LONGEST = 86400;

class Work {
  constructor(place) {
    this.place = place;
    this.setup = JSON.parse(place.dataset.setup);
    this.words = JSON.parse(place.dataset.words);
    this.settles = place.dataset.mode === "settle";
    this.text = this.part("text");
    const { labels, separator, spans } = this.setup;
    this.several = separator !== null;
    this.labels = new Labels(this.part("labels"), labels, this.several, (label) => this.pick(label));
    this.spans = spans ? new Spans(this.text, labels) : null;
    this.outbox = new Outbox(() => this.tell());
    this.hidden = document.cookie.split("; ").includes(`${COOKIE}=hidden`);
    /** Items that this annotator has before them; the first one is shown. */
    this.held = [];
    /** How many answers to an item, by its number, are on their way. */
    this.going = new Map();
    /** What was said since the page was opened, for undo. */
    this.said = [];
    this.seconds = 0;
    this.over = false;
    this.listen();
    this.renew();
  }

  part(name) {
    return this.place.querySelector(`[data-${name}]`);
  }

  // ---- what is asked of the server

  /** Return what the server answers, or why it refuses; `done` is called before that is used. */
  async ask(what, body, done = () => {}) {
    try {
      const answer = await this.outbox.send(`${this.setup.here}/${what}`, body);
      done();
      this.take(answer);
      return answer;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      done();
      return { refused: error.message };
    }
  }

  /** Ask for what is held, which keeps it for longer. */
  async renew() {
    if (document.hidden || this.outbox.size) return;
    const { refused } = await this.ask("next", {});
    if (refused !== undefined) this.alarm("", refused);
  }

  count(number, by) {
    this.going.set(number, (this.going.get(number) ?? 0) + by);
  }

  /** Hold what the server hands out, and no more, once it knows of everything. */
  take({ items, guideline }) {
    const numbers = new Set(items.map(({ number }) => number));
    if (!this.outbox.size && !this.settles) {
      this.held = this.held.filter(({ number }) => numbers.has(number));
    }
    for (const item of items) {
      const known = this.going.get(item.number) || this.held.some((h) => h.number === item.number);
      if (!known) this.held.push(item);
    }
    if (guideline !== undefined && guideline !== this.setup.guideline) this.guide(guideline);
    this.over = items.length === 0;
    this.images = this.held.filter(({ image }) => image).map(({ image }) => {
      const ahead = new Image();
      ahead.src = image;
      return ahead;
    });
    if (this.item !== (this.held[0] ?? null)) this.show();
    else this.tell();
  }

  async say(answer) {
    const { item } = this;
    const seconds = this.clock();
    const body = { item: item.number, seconds, suggested: this.seen, ...answer };
    const said = { item, answer, kept: false };
    this.said.push(said);
    this.seconds += seconds;
    this.count(item.number, 1);
    this.held.shift();
    this.show();
    const { refused } = await this.ask("say", body, () => this.count(item.number, -1));
    said.kept = refused === undefined;
    if (said.kept) return this.tell();
    this.said = this.said.filter((one) => one !== said);
    const text = item.text.length > 80 ? `${item.text.slice(0, 80)}…` : item.text;
    const { label, skipped } = answer;
    const shown = label === undefined ? skipped : this.readable(label, item.text);
    this.alarm(`${this.words.lost} ${text} → ${shown}`, refused);
    this.renew();
  }

  async undo() {
    const last = this.said.pop();
    if (last) {
      this.held.unshift(last.item);
      this.show(last.answer);
    }
    if (this.settles) return;
    // By its number: sent twice, it takes back one answer.
    const { refused } = await this.ask("undo", last ? { item: last.item.number } : {});
    if (refused === undefined) return;
    this.note(refused);
    this.renew();
  }

  // ---- what is shown

  /** Show the first item that is held, with an answer that was taken back. */
  show(answer = null) {
    this.item = this.held[0] ?? null;
    this.place.dataset.item = this.item?.number ?? "";
    this.spent = 0;
    this.since = document.hidden ? null : performance.now();
    this.seen = false;
    this.changed = false;
    this.part("work").hidden = !this.item;
    if (this.item) {
      this.drafted = answer ? this.read(answer) : null;
      this.text.scrollTop = 0;
      const image = this.part("image");
      image.hidden = !this.item.image;
      if (this.item.image) image.src = this.item.image;
      else image.removeAttribute("src");
      this.part("votes")?.replaceChildren(...this.votes(this.item.said ?? []));
      this.draw();
      this.part("spoken").textContent = this.words.item.replace("#", this.item.text.slice(0, 300));
    }
    this.tell();
    this.focus();
  }

  /** Draw the item's labels or spans as they are now. */
  draw() {
    const suggestions = this.hidden && !this.settles ? null : this.item.suggestions;
    this.seen ||= Boolean(suggestions?.length);
    const certain = this.settles ? [] : (suggestions ?? []);
    const sure = certain.filter(({ score }) => score >= SURE);
    if (this.spans) {
      const spans = sure.filter(({ start }) => start !== null);
      this.spans.show(this.item.text, this.drafted ?? spans);
      this.labels.show(null, []);
      return;
    }
    this.text.textContent = this.item.text;
    this.labels.show(suggestions, this.drafted ?? (this.several ? sure.map((s) => s.label) : []));
    if (this.settles && !this.drafted) this.labels.mark(null);
  }

  /** Return the labels or spans of an answer. */
  read({ label }) {
    if (label === null || label === undefined) return null;
    if (this.spans) return JSON.parse(label);
    return this.several ? JSON.parse(label) : [label];
  }

  /** Tell how far the work is, and what is not kept yet. */
  tell() {
    const { size, unkept, trouble } = this.outbox;
    const empty = !this.item;
    this.part("waiting").hidden = !empty || (this.over && !size);
    this.part("finished").hidden = !empty || !this.over || size > 0;
    const state = this.part("state");
    state.dataset.state = trouble ? "lost" : unkept ? "connecting" : "on";
    state.textContent = unkept ? this.words.sending.replace("#", unkept) : this.words.kept;
    const alarm = this.part("trouble");
    alarm.hidden = !trouble;
    const told = trouble ? this.words[trouble].replace("#", unkept) : "";
    const message = this.part("message");
    if (message.textContent !== told) message.textContent = told;
    this.part("again").hidden = trouble !== "login";
    const { items, overlap } = this.setup;
    const kept = this.said.filter((one) => one.kept);
    const labelled = kept.filter(({ answer }) => answer.label !== undefined).length;
    const done = this.setup.done + Math.floor(labelled / (this.settles ? 1 : overlap));
    this.part("bar").value = items ? done / items : 0;
    this.part("count").textContent = this.words.count.replace("#", done).replace("#", items);
    const each = this.seconds / this.said.length;
    const speed = this.said.length ? whole.format(Math.round(3600 / each)) : "–";
    const own = this.part("speed");
    if (own) own.textContent = this.words.speed.replace("#", kept.length).replace("#", speed);
    const shown = this.part("suggesting");
    if (shown) shown.setAttribute("aria-pressed", String(!this.hidden));
  }

  votes(said) {
    const blind = this.place.hasAttribute("data-blind");
    return said.map(({ annotator, label, skipped }, at) => {
      const made = this.part("vote").content.cloneNode(true);
      const alias = this.words.annotator.replace("#", String.fromCharCode(65 + at));
      made.querySelector("[data-who]").textContent = blind ? alias : annotator;
      const what = made.querySelector("[data-what]");
      what.textContent = label === null ? skipped : this.readable(label);
      what.disabled = label === null;
      what.addEventListener("click", () => this.adopt(label));
      return made;
    });
  }

  /** Return an answer as people read it. */
  readable(label, whole = this.item.text) {
    if (this.spans) {
      const text = [...whole];
      const parts = JSON.parse(label).map(
        (span) => `${text.slice(span.start, span.end).join("")} (${span.label})`,
      );
      return parts.join(", ") || "–";
    }
    return this.several ? JSON.parse(label).join(", ") || "–" : label;
  }

  /** Take over what an annotator said. */
  adopt(label) {
    this.changed = true;
    this.drafted = this.read({ label });
    if (!this.spans && !this.several) this.say({ label });
    else this.draw();
    this.focus();
  }

  /** Say what must not be overlooked, until somebody has seen it. */
  alarm(what, why) {
    const made = this.part("loss").content.cloneNode(true);
    made.querySelector("[data-lost]").textContent = what;
    made.querySelector("[data-why]").textContent = why;
    const row = made.firstElementChild;
    row.querySelector("button").addEventListener("click", () => {
      row.remove();
      this.focus();
    });
    this.part("losses").append(row);
  }

  /** Say something in passing. */
  note(text) {
    const place = this.part("note");
    place.textContent = text;
    clearTimeout(this.fading);
    this.fading = setTimeout(() => { place.textContent = ""; }, 4000);
  }

  /** Show a guideline that was written meanwhile. */
  async guide(version) {
    this.setup.guideline = version;
    const answer = await fetch(`${this.setup.here}/guideline`);
    if (!answer.ok) return;
    this.part("guideline").textContent = (await answer.json()).text;
    this.note(this.words.guideline);
  }

  /** Let the next key go where it is wanted. */
  focus() {
    if (document.querySelector("dialog[open]")) return;
    const typed = this.labels.filter && !touch.matches;
    const home = this.item ? (typed ? this.labels.filter : this.text) : document.querySelector("main");
    home.focus({ preventScroll: true });
  }

  /** Return the seconds for which the item has been before the annotator's eyes. */
  clock() {
    const last = this.since === null ? 0 : performance.now() - this.since;
    return Math.min((this.spent + last) / 1000, LONGEST);
  }

  // ---- what the annotator does

  pick(label) {
    if (!this.item) return;
    this.changed = true;
    if (this.spans) this.spans.label(label);
    else if (this.several) this.labels.toggle(label);
    else this.say({ label });
    if (this.spans && this.labels.filter) this.labels.show(null, []);
    this.focus();
  }

  enter() {
    if (!this.item) return;
    const { marked, typing } = this.labels;
    if (typing || (!this.spans && !this.several)) {
      if (marked === null) this.note(this.words.choose);
      else this.pick(marked);
    } else if (this.spans) this.say({ label: JSON.stringify(this.spans.value) });
    else if (marked !== null) this.pick(marked);
    else this.say({ label: JSON.stringify([...this.labels.chosen].toSorted()) });
  }

  skip(reason) {
    this.part("skipping").close();
    if (this.item) this.say({ skipped: reason });
  }

  remove() {
    if (this.item && this.spans.remove()) this.changed = true;
    this.focus();
  }

  hide() {
    if (this.settles) return this.blind();
    this.hidden = !this.hidden;
    const kept = this.hidden ? "hidden" : "";
    const age = this.hidden ? 31536000 : 0;
    document.cookie = `${COOKIE}=${kept}; path=/console; max-age=${age}; samesite=strict`;
    // What the annotator has done stays; what was only suggested goes.
    if (this.changed) this.drafted = this.spans?.value ?? [...this.labels.chosen];
    if (this.item) this.draw();
    this.note(this.hidden ? this.words.hidden : this.words.shown);
    this.tell();
    this.focus();
  }

  /** Leave an item for later. */
  later() {
    this.held.push(this.held.shift());
    this.show();
  }

  blind() {
    const blind = this.place.toggleAttribute("data-blind");
    this.part("blinding").setAttribute("aria-pressed", String(blind));
    if (this.item) this.part("votes").replaceChildren(...this.votes(this.item.said));
    this.focus();
  }

  open(name) {
    if (name === "skipping" && !this.item) return;
    if (name === "skipping" && this.settles) return this.later();
    this.part(name)?.showModal();
  }

  command(name) {
    if (name === "undo") this.undo();
    else if (name === "hide") this.hide();
    else if (name === "remove") this.remove();
    else if (name === "enter") this.enter();
    else if (name === "again") this.renew();
    else this.open(name);
  }

  listen() {
    const buttons = this.place.querySelectorAll("[data-command][data-key]");
    this.commands = new Map([...buttons].map(({ dataset }) => [dataset.key, dataset.command]));
    document.addEventListener("keydown", (event) => this.key(event));
    this.place.addEventListener("click", ({ target }) => {
      const button = target.closest("[data-command]");
      if (button) this.command(button.dataset.command);
      const reason = target.closest("[data-reason]");
      if (reason) this.skip(reason.dataset.reason);
    });
    for (const dialog of this.place.querySelectorAll("dialog")) {
      dialog.addEventListener("close", () => this.focus());
    }
    document.addEventListener("visibilitychange", () => {
      if (document.hidden && this.since !== null) this.spent += performance.now() - this.since;
      this.since = document.hidden ? null : performance.now();
      this.renew();
    });
    setInterval(() => this.renew(), RENEW);
    addEventListener("beforeunload", (event) => {
      if (this.outbox.unkept) event.preventDefault();
    });
  }

  key(event) {
    const { key, target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const dialog = document.querySelector("dialog[open]");
    if (dialog) {
      const reason = dialog.querySelectorAll("[data-reason]")[Number(key) - 1];
      if (reason) this.skip(reason.dataset.reason);
      else if (dialog.dataset.key !== key.toLowerCase()) return;
      else dialog.close();
    } else {
      if (target.closest("aside, a, .skip")) return;
      const presses = target.closest("button") && (key === "Enter" || key === " ");
      if (presses) return;
      if (!this.does(event)) {
        // What is typed goes into the filter, wherever the focus is.
        if (key.length === 1 && target !== this.labels.filter) this.labels.filter?.focus();
        return;
      }
    }
    event.preventDefault();
  }

  /** Do what a key is for; return whether it is for anything. */
  does({ key, shiftKey, repeat }) {
    const letters = !this.labels.filter || shiftKey;
    const command = this.commands.get(key.toLowerCase());
    if (command && (letters || key === "?")) {
      if (!repeat) this.command(command);
      return true;
    }
    // Some keyboards have digits with Shift only.
    const label = this.labels.at(shiftKey ? key : key.toLowerCase());
    if (label !== undefined) {
      if (!repeat) this.pick(label);
      return true;
    }
    if (key === "Enter") {
      if (!repeat) this.enter();
      return true;
    }
    return this.moves(key, shiftKey);
  }

  moves(key, shiftKey) {
    const sideways = { ArrowLeft: -1, ArrowRight: 1 }[key];
    const down = { ArrowUp: -1, ArrowDown: 1 }[key];
    if (this.spans && sideways && this.item) this.spans.move(sideways, shiftKey);
    else if (this.spans && key === "Backspace" && !this.labels.typing) this.remove();
    else if (down && !shiftKey && (!this.spans || this.labels.filter)) this.labels.move(down);
    else if (key === "Escape" && this.labels.typing) this.labels.show(null, []);
    else return false;
    return true;
  }
}

new Work(document.querySelector("[data-mode]"));

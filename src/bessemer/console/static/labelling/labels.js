// The labels: each by a key of its own, or, where they are many, found by typing.

const KEYS = [..."123456789abcdefijklmnopqrtvwxyz"]; // without the commands g, h, s, u
const DIGITS = KEYS.slice(0, 9);
/** Labels that are listed at a time; typing finds the others. */
const MOST = 200;
const percent = new Intl.NumberFormat(document.documentElement.lang, {
  style: "percent", maximumFractionDigits: 0,
});

/** Fold what is typed and what a label is called, so that they meet. */
const folded = (text) => text.normalize("NFKC").toLowerCase().replace(/[\s_-]+/g, " ");

export class Labels {
  /**
   * @param place Element whose list is filled; its input is shown where labels are many.
   * @param labels Names.
   * @param several Whether an item may have several.
   * @param pick Called with the label that was chosen.
   */
  constructor(place, labels, several, pick) {
    this.labels = labels;
    this.several = several;
    this.list = place.querySelector("[data-list]");
    this.nothing = place.querySelector("[data-nothing]");
    this.filter = labels.length > KEYS.length ? place.querySelector("input") : null;
    place.querySelector("[data-filter]").hidden = !this.filter;
    this.filter?.addEventListener("input", () => this.typed());
    this.folded = new Map(labels.map((label) => [label, folded(label)]));
    const initials = (label) => this.folded.get(label).replace(/(\S)\S*\s*/gu, "$1");
    this.initials = new Map(labels.map((label) => [label, initials(label)]));
    this.rows = new Map(labels.map((label) => [label, this.row(label, pick)]));
    if (!this.filter) this.list.replaceChildren(...this.rows.values());
    this.list.classList.toggle("many", labels.length > 9);
    this.show(null, []);
  }

  row(label, pick) {
    const row = document.createElement("button");
    row.type = "button";
    row.append(...["kbd", "span", "meter", "small"].map((name) => document.createElement(name)));
    // A long name is broken between its words.
    for (const part of label.split(/(?<=[_/.-])/)) {
      row.children[1].append(part, document.createElement("wbr"));
    }
    row.children[2].setAttribute("aria-hidden", "true");
    row.addEventListener("click", () => pick(label));
    return row;
  }

  /** Begin an item: what a model suggests (null: not to be seen), what is chosen already. */
  show(suggestions, chosen) {
    this.scores = new Map();
    for (const { label, score, start } of suggestions ?? []) {
      if (start == null && !this.scores.has(label)) this.scores.set(label, score);
    }
    this.chosen = new Set(chosen);
    if (this.filter) this.filter.value = "";
    this.arrange();
    const [surest] = [...this.scores.keys()];
    this.list.scrollTop = 0;
    this.mark(this.several ? null : (chosen[0] ?? surest ?? null));
  }

  get typing() {
    return Boolean(this.filter?.value);
  }

  typed() {
    this.arrange();
    this.mark(this.typing ? (this.shown[0] ?? null) : null);
  }

  /** Say which labels are shown, in which order, by which keys. */
  arrange() {
    const wanted = folded(this.filter?.value.trim() ?? "");
    // What is typed is the initials of a label's words, or begins its name, a word, or anything.
    const rank = (label) => {
      const name = this.folded.get(label);
      if (!wanted) return 0;
      if (this.initials.get(label).startsWith(wanted)) return 0;
      if (name.startsWith(wanted)) return 1;
      return name.includes(` ${wanted}`) ? 2 : name.includes(wanted) ? 3 : 4;
    };
    const ranks = new Map(this.labels.map((label) => [label, rank(label)]));
    const score = (label) => this.scores.get(label) ?? 0;
    this.shown = this.labels.filter((label) => ranks.get(label) < 4);
    if (this.filter) {
      this.shown.sort((a, b) => ranks.get(a) - ranks.get(b) || score(b) - score(a));
      this.shown.length = Math.min(this.shown.length, MOST);
    }
    const keys = this.filter ? DIGITS : KEYS;
    this.keys = new Map(this.shown.slice(0, keys.length).map((label, at) => [keys[at], label]));
    if (this.filter) this.list.replaceChildren(...this.shown.map((label) => this.rows.get(label)));
    this.shown.forEach((label, at) => {
      const row = this.rows.get(label);
      const [cap, , meter, share] = row.children;
      cap.textContent = keys[at] ?? "";
      if (keys[at]) row.setAttribute("aria-keyshortcuts", keys[at]);
      else row.removeAttribute("aria-keyshortcuts");
      meter.hidden = !this.scores.has(label);
      meter.value = score(label);
      share.textContent = meter.hidden ? "" : percent.format(score(label));
      row.setAttribute("aria-pressed", String(this.chosen.has(label)));
    });
    this.nothing.hidden = this.shown.length > 0;
  }

  /** Highlight a label, which Enter takes; null: none. */
  mark(label) {
    this.rows.get(this.marked)?.classList.remove("marked");
    this.marked = label;
    const row = this.rows.get(label);
    row?.classList.add("marked");
    // Finding out whether it is to be seen costs milliseconds.
    if (row !== this.list.firstElementChild) row?.scrollIntoView({ block: "nearest" });
    else this.list.scrollTop = 0;
  }

  toggle(label) {
    if (!this.chosen.delete(label)) this.chosen.add(label);
    if (this.filter) this.filter.value = "";
    this.arrange();
    this.mark(null);
  }

  /** Return the label that a key stands for, or undefined. */
  at(key) {
    return this.keys.get(key);
  }

  /** Move the highlight up or down. */
  move(by) {
    if (!this.shown.length) return;
    const at = this.shown.indexOf(this.marked);
    const next = at < 0 ? (by > 0 ? 0 : -1) : at + by;
    this.mark(this.shown.at(next % this.shown.length));
  }
}

// Spans in a text. The server counts Unicode characters; a string here counts UTF-16 units.

// A character of a script without spaces; letters and digits that stand together; any other
// character that is no blank; marks belong to what is before them. Words as the task knows them.
const IDEOGRAPHS =
  "\\u2e80-\\u2fdf\\u3005\\u3007\\u3040-\\u30ff\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff" +
  "\\u{20000}-\\u{3ffff}";
const BLANK =
  "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const RUN = `(?:(?![${IDEOGRAPHS}])[\\p{L}\\p{N}_])+`;
const WORD = new RegExp(`(?:[${IDEOGRAPHS}]|${RUN}|[^${BLANK}])(?:\\p{M}+(?:${RUN})?)*`, "gu");

/** Return the words of a text, in UTF-16 units. */
export function words(text) {
  return [...text.matchAll(WORD)].map((found) => [found.index, found.index + found[0].length]);
}

/** Return for each UTF-16 unit of a text, and its end, how many characters stand before it. */
export function characters(text) {
  const before = new Uint32Array(text.length + 1);
  let count = 0;
  for (let at = 0; at < text.length; count += 1) {
    const units = text.codePointAt(at) > 0xffff ? 2 : 1;
    for (let unit = 0; unit < units; unit += 1) before[at++] = count;
  }
  before[text.length] = count;
  return before;
}

export class Spans {
  /** `place` is the element that shows the text; `labels` give spans their colours. */
  constructor(place, labels) {
    this.place = place;
    this.labels = labels;
    this.touched = false;
    place.addEventListener("pointerup", (event) => this.point(event));
  }

  /** Show a text with spans, in characters. */
  show(text, spans) {
    this.words = words(text);
    this.before = characters(text);
    this.parts = [];
    const shown = [];
    let end = 0;
    const part = (from, to, word) => {
      const made = document.createElement("span");
      made.textContent = text.slice(from, to);
      made.dataset.word = word;
      shown.push(made);
      return made;
    };
    this.words.forEach(([from, to], at) => {
      const gap = from > end ? part(end, from, at) : null;
      this.parts.push({ gap, word: part(from, to, at) });
      end = to;
    });
    if (end < text.length) shown.push(document.createTextNode(text.slice(end)));
    this.place.replaceChildren(...shown);
    this.spans = spans.map(({ start, end: last, label }) => ({
      from: this.words.findIndex(([at]) => this.before[at] >= start),
      to: this.words.findLastIndex(([, at]) => this.before[at] <= last),
      label,
    }));
    this.spans = this.spans.filter(({ from, to }) => from >= 0 && from <= to);
    this.dressed = [];
    this.selected = [];
    this.dress();
    this.select(0, 0);
  }

  /** Return the spans as a label column holds them. */
  get value() {
    const sorted = this.spans.toSorted((one, other) => one.from - other.from);
    return sorted.map(({ from, to, label }) => ({
      start: this.before[this.words[from][0]],
      end: this.before[this.words[to][1]],
      label,
    }));
  }

  /** Give the selected words a label, instead of what they had. */
  label(label) {
    if (!this.words.length) return;
    this.remove();
    this.spans.push({ from: this.from, to: this.to, label });
    this.dress();
  }

  /** Take labels from the selected words; return whether there were any. */
  remove() {
    const count = this.spans.length;
    this.spans = this.spans.filter(({ from, to }) => to < this.from || from > this.to);
    this.dress();
    return this.spans.length < count;
  }

  /** Move over the words, or let the selection grow or shrink. */
  move(by, extends_) {
    const head = Math.min(Math.max(this.head + by, 0), this.words.length - 1);
    this.select(extends_ ? this.anchor : head, head);
  }

  get from() {
    return Math.min(this.anchor, this.head);
  }

  get to() {
    return Math.max(this.anchor, this.head);
  }

  select(anchor, head) {
    [this.anchor, this.head] = [anchor, head];
    for (const node of this.selected) node.classList.remove("selected");
    this.selected = this.nodes(this.from, this.to);
    for (const node of this.selected) node.classList.add("selected");
    this.parts[head]?.word.scrollIntoView({ block: "nearest" });
  }

  nodes(from, to) {
    const parts = this.parts.slice(from, to + 1);
    return parts.flatMap(({ gap, word }, at) => (gap && at ? [gap, word] : [word]));
  }

  dress() {
    for (const node of this.dressed) {
      node.classList.remove("in", "first", "last");
      delete node.dataset.label;
      delete node.dataset.colour;
    }
    this.dressed = [];
    for (const { from, to, label } of this.spans) {
      const nodes = this.nodes(from, to);
      const colour = Math.max(0, this.labels.indexOf(label)) % 6;
      for (const node of nodes) {
        node.classList.add("in");
        node.dataset.colour = colour;
      }
      nodes[0].classList.add("first");
      nodes.at(-1).classList.add("last");
      nodes.at(-1).dataset.label = label;
      this.dressed.push(...nodes);
    }
  }

  /** Take a selection by mouse; on a touch screen a second tap extends the first. */
  point(event) {
    const selection = getSelection();
    const at = (node) => {
      const element = node?.nodeType === Node.TEXT_NODE ? node.parentElement : node;
      return this.place.contains(element) ? element.closest("[data-word]") : null;
    };
    const ends = selection.isCollapsed
      ? [at(event.target), at(event.target)]
      : [at(selection.anchorNode), at(selection.focusNode)];
    selection.removeAllRanges();
    if (!ends[0] || !ends[1]) return;
    let [first, last] = ends.map((node) => Number(node.dataset.word));
    // A blank before a word at the end of the selection is not meant to bring the word.
    const isGap = (node) => this.parts[Number(node.dataset.word)].gap === node;
    if (first !== last) {
      if (last > first && isGap(ends[1])) last -= 1;
      if (last < first && isGap(ends[0])) first -= 1;
    }
    const tapped = event.pointerType === "touch" && first === last;
    const whole = this.spans.find(({ from, to }) => from <= first && first <= to);
    if (first === last && whole) this.select(whole.from, whole.to);
    else if (tapped && this.touched && (first < this.from || first > this.to)) {
      this.select(this.anchor, first);
    } else this.select(first, last);
    this.touched = tapped && !whole;
  }
}

// The lines of one attempt's log, by number: ranges come from the server when they are wanted, the least used are forgotten.
// Line numbers never change, so whatever was missed is asked for by number: nothing twice, nothing left out.

export const RANGE = 500;
const MOST_RANGES = 24;
const AGAIN_MS = 1500;

export class LogSource {
  // `changed` is called when there are more lines or lines have come; `grown` with how many there were before.
  constructor(url, attempt, total, { changed, grown, failing }) {
    Object.assign(this, { url, attempt, total, changed, grown, failing });
    this.ranges = new Map();
    this.asked = new Set();
    this.moments = new Map();
    this.over = false;
  }

  start(number) { return Math.floor((number - 1) / RANGE) * RANGE + 1; }
  line(number) { return this.ranges.get(this.start(number))?.get(number); }

  async ask(lines) {
    const answer = await fetch(`${this.url}?attempt=${this.attempt}&lines=${lines}`, { credentials: "same-origin" });
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const total = Number(/\/(\d+)$/.exec(answer.headers.get("Log-Lines") || "")?.[1] || 0);
    return { total, lines: [...page.querySelectorAll(".line")].map((each) => [Number(each.dataset.line), each]) };
  }

  want(from, upto) {
    for (let start = this.start(from); start <= upto; start += RANGE) this.load(start);
  }

  async load(start) {
    const known = this.ranges.get(start);
    if (known) { this.ranges.delete(start); this.ranges.set(start, known); } // used last
    const wanted = Math.min(RANGE, this.total - start + 1);
    if ((known && known.size >= wanted) || this.asked.has(start) || wanted < 1 || this.over) return;
    let from = start; // an answer has its bounds: of long lines it brings fewer
    while (known?.has(from)) from++;
    this.asked.add(start);
    try {
      const answer = await this.ask(`${from}-${start + RANGE - 1}`);
      if (this.over) return;
      this.learn(answer.total);
      this.keep(answer.lines, true);
      this.failing(false);
      this.asked.delete(start);
      if (answer.lines.length) this.changed();
    } catch {
      this.failing(true);
      setTimeout(() => { this.asked.delete(start); if (!this.over) this.changed(); }, AGAIN_MS);
    }
  }

  keep(lines, make) {
    for (const [number, line] of lines) {
      const start = this.start(number);
      if (!this.ranges.has(start)) {
        if (!make && number !== start) continue; // its range is asked for when it is seen
        this.ranges.set(start, new Map());
      }
      this.ranges.get(start).set(number, line);
    }
    for (const oldest of [...this.ranges.keys()]) {
      if (this.ranges.size <= MOST_RANGES) break;
      this.ranges.delete(oldest);
    }
  }

  learn(total) {
    if (total <= this.total) return;
    const before = this.total;
    this.ranges.get(this.start(before))?.delete(before); // it may have been half a line
    this.total = total;
    this.grown(before);
  }

  // What was written since. The last line that is known may have grown.
  async tail() {
    if (this.tailing) { this.more = true; return; }
    this.tailing = true;
    try {
      const from = Math.max(1, this.total), answer = await this.ask(`${from}-${from + RANGE - 1}`);
      if (this.over) return;
      this.learn(answer.total);
      this.keep(answer.lines, false);
      this.failing(false);
      this.changed();
    } catch {
      this.failing(true);
      clearTimeout(this.again);
      this.again = setTimeout(() => { if (!this.over) this.tail(); }, AGAIN_MS);
    }
    this.tailing = false;
    if (this.more) { this.more = false; this.tail(); }
  }

  // When a line was written; undefined until it is known, then `changed` is called.
  moment(number) {
    const line = this.line(number), at = line?.querySelector(".t")?.dataset.at;
    if (at) return new Date(at);
    if (!this.moments.has(number)) {
      this.moments.set(number, undefined);
      this.ask(`${number}-${number}`).then(({ lines }) => {
        const found = lines[0]?.[1].querySelector(".t")?.dataset.at;
        if (found) { this.moments.set(number, new Date(found)); this.changed(); }
      }).catch(() => this.moments.delete(number));
    }
    return this.moments.get(number);
  }

  close() { this.over = true; this.ranges.clear(); this.moments.clear(); }
}

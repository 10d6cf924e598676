// A search through a whole log: how many lines have it, and each of them, forwards and backwards. The server counts all and
// says where each further thousand begins; of these only a few are kept here.

const PAGE = 1000;
const MOST_PAGES = 8;
const ERRORS = "(?i)\\b(error|errors|failed|failure|fatal|panic|exception|traceback|segmentation fault|not ok)\\b";

export class LogSearch {
  // `say(words)` while it searches.
  constructor(api, attempt, wanted, say) {
    const query = new URLSearchParams(wanted);
    this.url = `${api}/search?attempt=${attempt}&limit=${PAGE}&${query}`;
    this.words = wanted.text;
    this.fold = wanted.ignore_case === "true";
    this.say = say;
    this.pages = []; // { first, count, cursor, line, lines | null }
    this.count = 0;
    this.at = -1;
    this.over = false;
  }

  static forErrors(api, attempt, say) { return new LogSearch(api, attempt, { regex: ERRORS }, say); }

  // Searches all; false when another search has taken its place. Throws what to tell.
  async run() {
    let cursor = "", next = null;
    do {
      const found = await this.ask(`&pages=true${cursor}`);
      if (this.over) return false;
      const more = (found.pages || []).map((each) => ({ cursor: each, line: Number(each.split(":")[1]), lines: null }));
      const first = { cursor: cursor.slice("&cursor=".length), line: found.hits[0]?.line, lines: found.hits.map((hit) => hit.line) };
      let left = found.count;
      for (const each of found.count ? [first, ...more] : []) {
        // Of what is behind the last place that the server keeps, only the number is known.
        this.pages.push({ ...each, first: this.count + found.count - left, count: Math.min(left, PAGE) });
        left -= Math.min(left, PAGE);
      }
      this.count += found.count - left;
      this.unreached = (this.unreached || 0) + left;
      next = found.next_cursor;
      cursor = `&cursor=${next}`;
      if (next) this.say(`searching … ${this.count.toLocaleString("en")} so far`);
    } while (next);
    this.forget();
    return true;
  }

  async ask(more) {
    for (let tries = 0; ; tries++) {
      const answer = await fetch(`${this.url}${more}`, { credentials: "same-origin" }).catch(() => null);
      if (answer?.ok) return answer.json();
      const again = !answer || answer.status === 429 || answer.status >= 500;
      if (!again || tries === 5 || this.over) {
        const problem = await answer?.json().catch(() => null);
        throw new Error(problem?.detail || "The search failed.");
      }
      await new Promise((done) => setTimeout(done, 1000 * Math.min(5, Number(answer?.headers.get("Retry-After") || 1))));
    }
  }

  // The number of the first hit at or behind a line; the first of all when there is none.
  async near(line) {
    let found = 0;
    for (let index = 0; index < this.pages.length; index++) if (this.pages[index].line <= line) found = index;
    const page = this.pages[found];
    if (!page) return -1;
    const lines = await this.lines(page);
    const at = lines.findIndex((each) => each >= line);
    if (at >= 0) return page.first + at;
    return page.first + lines.length < this.count ? page.first + lines.length : 0;
  }

  // The line of a hit.
  async line(number) {
    const page = this.pages.find((each) => number < each.first + each.count);
    return (await this.lines(page))[number - page.first];
  }

  async lines(page) {
    page.used = performance.now();
    if (!page.lines) {
      const found = await this.ask(`&stop=true${page.cursor ? `&cursor=${page.cursor}` : ""}`);
      page.lines = found.hits.slice(0, page.count).map((hit) => hit.line);
      this.forget();
    }
    return page.lines;
  }

  forget() {
    const kept = this.pages.filter((page) => page.lines).sort((a, b) => (b.used || 0) - (a.used || 0));
    for (const page of kept.slice(MOST_PAGES)) page.lines = null;
    this.known = new Set(kept.slice(0, MOST_PAGES).flatMap((page) => page.lines));
  }

  has(line) { return this.known?.has(line) || false; }
}

// The words themselves, where the browser can mark text without changing the document.
export function mark(rows, search) {
  if (!globalThis.CSS?.highlights) return;
  CSS.highlights.delete("found");
  if (!search?.words) return;
  const fold = (text) => (search.fold ? text.toLowerCase() : text), words = fold(search.words), ranges = [];
  for (const row of rows) {
    const walker = document.createTreeWalker(row.querySelector(".x") || row, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const text = fold(node.data);
      for (let at = text.indexOf(words); at >= 0 && ranges.length < 500; at = text.indexOf(words, at + words.length)) {
        const range = new Range();
        range.setStart(node, at);
        range.setEnd(node, at + words.length);
        ranges.push(range);
      }
    }
  }
  CSS.highlights.set("found", new Highlight(...ranges));
}

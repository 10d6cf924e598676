// <log-view>: a log of any size. Only the lines that are seen, and a few around them, are in the document; ranges come from
// the server when they are needed and the least used are forgotten. LogLine N of attempt A has the address #aA:LN.

const ROW = 20, AROUND = 40, RANGE = 500, MOST_RANGES = 24, TALLEST = 8_000_000;

class LogView extends HTMLElement {
  connectedCallback() {
    if (this.box) return;
    this.attempt = Number(this.dataset.attempt);
    this.box = this.querySelector(".log-lines");
    const told = /(\d+)-(\d+)\/(\d+)/.exec(this.dataset.told || "");
    this.total = told ? Number(told[3]) : 0;
    this.ranges = new Map(); this.asked = new Map(); this.hits = []; this.hit = -1; this.fresh = 0;
    this.following = this.dataset.running === "yes";
    this.top = 0;
    this.bar();
    this.space = document.createElement("div"); this.space.className = "space";
    this.box.replaceChildren(this.space); this.box.classList.add("virtual");
    this.box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.box.addEventListener("wheel", (event) => this.wheeled(event), { passive: false });
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("click", (event) => this.clicked(event));
    new ResizeObserver(() => this.draw()).observe(this.box);
    window.addEventListener("hashchange", () => this.go());
    this.size();
    if (!this.go()) this.to(this.total, "end");
    if (this.following) this.listen();
  }

  bar() {
    const bar = document.createElement("div"); bar.className = "log-bar";
    const button = (name, does, pressed) => {
      const made = document.createElement("button"); made.type = "button"; made.textContent = name;
      if (pressed !== undefined) made.setAttribute("aria-pressed", String(pressed));
      made.addEventListener("click", () => does(made)); bar.append(made); return made;
    };
    const search = document.createElement("input"); search.type = "search"; search.placeholder = "Search the whole log"; search.setAttribute("aria-label", "Search the whole log");
    search.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); this.search(search.value, event.shiftKey); } });
    bar.append(search); this.searching = search;
    this.counted = document.createElement("span"); this.counted.className = "soft"; this.counted.setAttribute("role", "status"); bar.append(this.counted);
    button("Previous", () => this.step(-1)); button("Next", () => this.step(1));
    button("First error", () => this.search(null));
    const toggle = (made, name) => { const on = this.box.classList.toggle(name); made.setAttribute("aria-pressed", String(on)); return on; };
    button("Wrap", (made) => { toggle(made, "wrapped"); this.draw(); }, false);
    this.times = 0;
    button("Times", (made) => { this.times = (this.times + 1) % 3; this.box.classList.toggle("timed", this.times > 0); made.textContent = ["Times", "Times: local", "Times: since start"][this.times]; this.draw(true); });
    button("Copy", () => this.copy());
    button("Start", () => { this.following = false; this.to(1); }); button("End", () => { this.following = this.dataset.running === "yes"; this.to(this.total, "end"); });
    this.box.before(bar);
    this.news = document.createElement("button"); this.news.type = "button"; this.news.className = "log-new main"; this.news.hidden = true;
    this.news.addEventListener("click", () => { this.following = true; this.to(this.total, "end"); });
    this.box.after(this.news);
  }

  get seen() { return Math.max(1, Math.floor(this.box.clientHeight / ROW)); }
  get height() { return Math.min(this.total * ROW, TALLEST); }
  size() { this.space.style.height = `${this.height}px`; }

  // In a tall log a pixel of the scroll bar stands for several lines: `top` says exactly which line is the first.
  scrolled() {
    if (this.moving) { this.moving = false; this.draw(); return; }
    const room = this.box.scrollHeight - this.box.clientHeight;
    const share = room > 0 ? this.box.scrollTop / room : 0;
    const before = this.top;
    this.top = Math.round(share * Math.max(0, this.total - this.seen));
    if (this.top < before) this.following = false;
    if (this.top + this.seen >= this.total) { this.fresh = 0; if (this.dataset.running === "yes") this.following = true; }
    this.draw();
  }
  wheeled(event) {
    if (this.total * ROW <= TALLEST || event.ctrlKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) return;
    event.preventDefault();
    const lines = event.deltaMode === 1 ? event.deltaY : event.deltaMode === 2 ? event.deltaY * this.seen : event.deltaY / ROW;
    if (lines < 0) this.following = false;
    this.to(this.top + 1 + (Math.abs(lines) < 1 ? Math.sign(lines) : Math.round(lines)));
  }
  key(event) {
    const jump = { Home: -this.total, End: this.total, PageUp: -this.seen, PageDown: this.seen, ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (jump === undefined || event.target !== this.box) return;
    event.preventDefault();
    if (jump < 0) this.following = false;
    this.to(this.top + 1 + jump);
  }

  to(line, where = "start") {
    const last = Math.max(0, this.total - this.seen);
    const first = where === "end" ? last : where === "middle" ? line - Math.floor(this.seen / 2) : line - 1;
    this.top = Math.max(0, Math.min(first, last));
    const room = this.box.scrollHeight - this.box.clientHeight;
    const target = last > 0 ? Math.round((this.top / last) * room) : 0;
    if (Math.abs(this.box.scrollTop - target) >= 1) { this.moving = true; this.box.scrollTop = target; }
    if (this.top + this.seen >= this.total) this.fresh = 0;
    this.draw();
  }

  draw(again = false) {
    this.news.hidden = this.fresh === 0; this.news.textContent = `${this.fresh} new lines ↓`;
    const from = Math.max(1, this.top + 1 - AROUND), upto = Math.min(this.total, this.top + this.seen + AROUND);
    for (let start = this.rangeOf(from); start <= upto; start += RANGE) this.load(start);
    const place = this.box.scrollTop - this.top * ROW;
    const kept = new Map(again ? [] : [...this.space.children].map((each) => [Number(each.dataset.line), each]));
    const parts = [];
    for (let number = from; number <= upto; number++) {
      const text = this.ranges.get(this.rangeOf(number))?.get(number);
      let row = kept.get(number);
      if (!row || (row.dataset.empty && text)) row = this.row(number, text);
      row.style.top = `${place + (number - 1) * ROW}px`;
      row.classList.toggle("hit", this.hitLines?.has(number) || false);
      row.classList.toggle("now", this.hits[this.hit] === number);
      row.classList.toggle("chosen", Boolean(this.chosen && number >= this.chosen[0] && number <= this.chosen[1]));
      parts.push(row);
    }
    this.space.replaceChildren(...parts);
    if (this.box.classList.contains("wrapped")) this.stack(parts);
  }
  stack(rows) { // wrapped lines have heights of their own
    let at = null;
    for (const row of rows) { if (Number(row.dataset.line) === this.top + 1) at = this.box.scrollTop; }
    if (at === null) return;
    const first = rows.findIndex((row) => Number(row.dataset.line) === this.top + 1);
    let below = at;
    for (let i = first; i < rows.length; i++) { rows[i].style.top = `${below}px`; below += rows[i].offsetHeight || ROW; }
    let above = at;
    for (let i = first - 1; i >= 0; i--) { above -= rows[i].offsetHeight || ROW; rows[i].style.top = `${above}px`; }
  }
  row(number, source) {
    const row = source ? document.importNode(source, true) : document.createElement("div");
    row.className = "line"; row.dataset.line = number;
    if (!source) { row.dataset.empty = "yes"; row.textContent = "…"; return row; }
    const link = row.querySelector(".n"); if (link) link.href = `#a${this.attempt}:L${number}`;
    const time = row.querySelector(".t");
    if (time && this.times) {
      const at = new Date(time.dataset.at);
      this.begun ??= at;
      time.textContent = this.times === 1 ? at.toLocaleTimeString(undefined, { hour12: false }) + "." + String(at.getMilliseconds()).padStart(3, "0") : `${((at - this.begun) / 1000).toFixed(3)} s`;
      time.title = time.dataset.at;
    }
    return row;
  }

  rangeOf(number) { return Math.floor((number - 1) / RANGE) * RANGE + 1; }
  async load(start) {
    const known = this.ranges.get(start);
    if (known) { this.ranges.delete(start); this.ranges.set(start, known); }
    const wanted = Math.min(RANGE, this.total - start + 1);
    if ((known && known.size >= wanted) || this.asked.has(start) || wanted < 1) return;
    let from = start; // an answer has its bounds: of long lines it brings fewer
    while (known?.has(from)) from++;
    const asked = fetch(`${this.dataset.url}?attempt=${this.attempt}&lines=${from}-${start + RANGE - 1}`, { credentials: "same-origin" });
    this.asked.set(start, asked);
    try {
      const answer = await asked;
      if (!answer.ok) throw new Error(String(answer.status));
      this.learn(answer);
      const came = await this.parsed(answer), lines = this.ranges.get(start) || new Map();
      if (!came.size) { this.asked.delete(start); return; } // asked again when something else is seen
      for (const [number, line] of came) lines.set(number, line);
      this.ranges.set(start, lines);
      for (const oldest of [...this.ranges.keys()]) { if (this.ranges.size <= MOST_RANGES) break; this.ranges.delete(oldest); }
    } catch { setTimeout(() => { this.asked.delete(start); this.draw(); }, 2000); return; }
    this.asked.delete(start);
    this.draw();
  }
  learn(answer) {
    const total = Number(/\/(\d+)$/.exec(answer.headers.get("Log-Lines") || "")?.[1] || 0);
    if (total > this.total) {
      if (!this.following) this.fresh += total - this.total;
      this.total = total; this.size();
      if (this.following) this.to(this.total, "end");
    }
  }

  listen() { // that there is more; what it is comes as a range
    const source = new EventSource(`${this.dataset.api}?attempt=${this.attempt}&follow=true&format=sse&lines=-1`);
    let soon = 0;
    const look = () => { clearTimeout(soon); soon = setTimeout(() => this.tail(), 150); };
    source.addEventListener("log", look); source.addEventListener("note", look);
    source.addEventListener("end", () => { source.close(); this.dataset.running = "no"; look(); });
  }
  async tail() {
    if (this.tailing) { this.tailAgain = true; return; }
    this.tailing = true;
    try {
      const from = Math.max(1, this.total); // the last one may have grown
      const answer = await fetch(`${this.dataset.url}?attempt=${this.attempt}&lines=${from}-${from + 2 * RANGE - 1}`, { credentials: "same-origin" });
      if (answer.ok) {
        for (const [number, line] of await this.parsed(answer)) {
          const start = this.rangeOf(number);
          if (!this.ranges.has(start) && number !== start) continue; // its range is asked for when it is seen
          if (!this.ranges.has(start)) this.ranges.set(start, new Map());
          this.ranges.get(start).set(number, line);
          this.space.querySelector(`[data-line="${number}"]`)?.remove();
        }
        const before = this.total;
        this.learn(answer);
        if (this.total > before + RANGE) this.tailAgain = true;
        this.draw();
      }
    } catch { /* the next piece of the log asks again */ }
    this.tailing = false;
    if (this.tailAgain) { this.tailAgain = false; this.tail(); }
  }
  async parsed(answer) {
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return new Map([...page.querySelectorAll(".line")].map((each) => [Number(each.dataset.line), each]));
  }

  async search(text, back = false) {
    if (text === "") { this.hits = []; this.hitLines = null; this.counted.textContent = ""; this.draw(); return; }
    const sought = text === null ? "regex=" + encodeURIComponent("(error|Error|ERROR|FAILED|fatal|Traceback)") : "text=" + encodeURIComponent(text);
    if (this.sought === sought && this.hits.length) { this.step(back ? -1 : 1); return; }
    this.sought = sought; this.counted.textContent = "searching …";
    const found = []; let cursor = "", more = true;
    while (more && found.length < 1000) {
      const answer = await fetch(`${this.dataset.api}/search?attempt=${this.attempt}&limit=1000&${sought}${cursor}`, { credentials: "same-origin" });
      const body = await answer.json();
      if (!answer.ok) { this.counted.textContent = body.detail || "The search failed."; return; }
      if (this.sought !== sought) return;
      found.push(...body.hits.map((each) => each.line));
      more = Boolean(body.next_cursor); cursor = more ? `&cursor=${body.next_cursor}` : "";
      if (text === null && found.length) more = false;
    }
    this.hits = found; this.hitLines = new Set(found); this.more = more; this.hit = -1; this.following = false;
    if (!found.length) { this.counted.textContent = "nothing found"; this.draw(); return; }
    const near = text === null ? 0 : found.findIndex((line) => line > this.top);
    this.hit = (near < 0 ? 0 : near) - 1; this.step(1);
  }
  step(by) {
    if (!this.hits.length) return;
    this.hit = (this.hit + by + this.hits.length) % this.hits.length;
    this.counted.textContent = `${this.hit + 1} of ${this.hits.length}${this.more ? " or more" : ""}`;
    this.following = false;
    this.to(this.hits[this.hit], "middle");
  }

  clicked(event) {
    const link = event.target.closest("a.n"); if (!link) return;
    event.preventDefault();
    const line = Number(link.closest(".line").dataset.line);
    const first = event.shiftKey && this.chosen ? Math.min(this.chosen[0], line) : line, last = event.shiftKey && this.chosen ? Math.max(this.chosen[1], line) : line;
    history.replaceState(null, "", `#a${this.attempt}:L${first}${last > first ? `-L${last}` : ""}`);
    this.chosen = [first, last]; this.draw();
  }
  go() {
    const found = /^#a(\d+):L(\d+)(?:-L?(\d+))?$/.exec(location.hash);
    if (!found) return false;
    if (Number(found[1]) !== this.attempt) { const url = new URL(location.href); url.searchParams.set("attempt", found[1]); location.assign(url); return true; }
    this.chosen = [Number(found[2]), Number(found[3] || found[2])]; this.following = false;
    this.to(this.chosen[0], "middle"); this.scrollIntoView({ block: "start" });
    return true;
  }
  async copy() {
    const [first, last] = this.chosen || [this.top + 1, Math.min(this.total, this.top + this.seen)];
    const answer = await fetch(`${this.dataset.api}?attempt=${this.attempt}&lines=${first}-${last}${this.times ? "&timestamps=true" : ""}`, { credentials: "same-origin" });
    await navigator.clipboard.writeText(await answer.text());
    this.counted.textContent = `copied lines ${first} to ${last}`;
  }
}
customElements.define("log-view", LogView);

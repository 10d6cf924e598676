// <log-view>: a log of any size, live. What is where: `log-source.js` has the lines, `log-rows.js` shows them,
// `log-search.js`, `log-steps.js` and `log-bar.js` do what their names say. Line N of attempt A has the address #aA:LN.
import { followLog } from "./live.js";
import { LogBar, copyText } from "./log-bar.js";
import { LogRows } from "./log-rows.js";
import { LogSearch, mark } from "./log-search.js";
import { LogSource } from "./log-source.js";
import { LogSteps } from "./log-steps.js";
import { dressed, timeWords } from "./log-words.js";

const MOST_COPIED = 100_000;

class LogView extends HTMLElement {
  static observedAttributes = ["data-facts"];

  connectedCallback() {
    if (this.rows) return;
    this.box = this.querySelector(".log-lines");
    this.facts = JSON.parse(this.dataset.facts);
    this.bar = new LogBar(this);
    this.rows = new LogRows(this.box, {
      make: (number, node) => this.make(number, node),
      dress: (row, number) => dressed(this, row, number),
      want: (from, upto) => this.source.want(from, upto),
      moved: (up) => this.moved(up),
    });
    this.bar.place();
    this.mode = "none";
    this.listenToHands();
    window.addEventListener("hashchange", () => this.go());
    const told = /(\d+)-(\d+)\/(\d+)/.exec(this.dataset.told || "");
    const hash = address();
    const attempt = this.facts.attempts.includes(hash?.attempt) ? hash.attempt : this.facts.attempt;
    this.open(attempt, told && attempt === this.facts.attempt ? Number(told[3]) : 0);  // the page has told of its own attempt
    if (!this.go()) this.rows.end();
  }

  disconnectedCallback() { this.unfollow?.(); }

  // The page has learned more of the job.
  attributeChangedCallback(_name, before, now) {
    if (!this.rows || before === now) return;
    const old = this.facts;
    this.facts = JSON.parse(now);
    this.bar.attempts(this);
    const newest = this.facts.attempts.at(-1);
    // Who follows the last attempt and has chosen none goes on to the next.
    if (newest > old.attempts.at(-1) && this.following && !new URL(location.href).searchParams.has("attempt") && !location.hash) this.goOnTo(newest);
    else if (old.runs.includes(this.attempt) && !this.runs) { this.source.tail(); this.steps.look(true); this.bar.state(this); }
    else if (this.runs && !this.unfollow) this.follow();
  }

  get runs() { return this.facts.runs.includes(this.attempt) || (!this.facts.over && this.attempt === this.facts.attempts.at(-1) && !this.complete); }

  // ---- one attempt's log

  open(attempt, total) {
    this.unfollow?.();
    this.unfollow = null;
    this.source?.close();
    this.steps?.close();
    this.stopSearching();
    Object.assign(this, { attempt, complete: false, chosen: null, missed: 0, size: 0, begun: undefined });
    this.rows.nodes.forEach((node) => node.remove());
    this.rows.nodes.clear();
    this.source = new LogSource(`${this.dataset.page}/log/lines`, attempt, total, {
      changed: () => this.draw(),
      grown: (before) => this.grown(before),
      failing: (failing) => { if (this.failing !== failing) { this.failing = failing; this.bar.state(this); } },
    });
    this.steps = new LogSteps(this.dataset.api, attempt, () => { this.refold(); this.bar.stepList(this); });
    this.following = this.runs;
    this.refold();
    this.bar.attempts(this);
    this.bar.stepList(this);
    this.steps.look(!this.runs);
    if (this.runs) this.follow();
    this.bar.state(this);
  }

  // Another attempt, without loading the page again.
  show(attempt) {
    if (attempt === this.attempt) return;
    const url = new URL(location.href);
    url.searchParams.set("attempt", attempt);
    url.searchParams.delete("lines");
    url.hash = "";
    history.replaceState(null, "", url);
    this.goOnTo(attempt);
  }

  goOnTo(attempt) {
    this.open(attempt, 0);
    this.source.tail().then(() => this.rows.end());
  }

  follow() {
    this.unfollow = followLog(this.dataset.job, this.attempt, (told) => {
      if (told === null || told.size !== this.size || told.complete) this.source.tail();
      if (!told) return;
      this.size = told.size;
      this.steps.look(false);
      if (told.complete) { this.complete = true; this.bar.state(this); }
    });
  }

  grown(before) {
    if (!this.following) this.missed += this.source.total - before;
    this.refold();
    if (this.following) this.rows.end();
  }

  refold() {
    this.rows.total = this.source.total;
    this.rows.folds = this.steps.folds(this.source.total);
    this.draw();
  }

  draw() {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.rows.draw();
      if (this.following) this.rows.end();
      this.bar.missed(this);
      mark(this.rows.nodes.values(), this.search);
    });
  }

  make(number, node) {
    const source = this.source.line(number);
    if (node && node.source === source) return node;
    const row = source ? document.importNode(source, true) : document.createElement("div");
    row.className = "line";
    row.removeAttribute("id");
    row.dataset.line = number;
    row.source = source;
    if (!source) row.textContent = "…";
    const link = row.querySelector(".n");
    if (link) link.href = `#a${this.attempt}:L${number}`;
    return row;
  }

  // ---- hands

  listenToHands() {
    this.box.addEventListener("wheel", (event) => { if (event.deltaY < 0) this.letGo(); }, { passive: true });
    let touched = 0;
    this.box.addEventListener("touchstart", (event) => { touched = event.touches[0].clientY; }, { passive: true });
    this.box.addEventListener("touchmove", (event) => { if (event.touches[0].clientY > touched + 4) this.letGo(); }, { passive: true });
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("click", (event) => this.clicked(event));
  }

  key(event) {
    if (event.target !== this.box || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = this.box.clientHeight - 20, does = {
      Home: () => { this.letGo(); this.rows.to(1); }, End: () => this.toEnd(),
      PageUp: () => this.rows.by(-page), PageDown: () => this.rows.by(page),
      ArrowUp: () => this.rows.by(-20), ArrowDown: () => this.rows.by(20),
      n: () => this.step(1), N: () => this.step(-1),
    }[event.key];
    if (!does) return;
    event.preventDefault();
    if (event.key === "ArrowUp" || event.key === "PageUp") this.letGo();
    does();
  }

  letGo() { if (this.following) { this.following = false; this.bar.state(this); } }

  moved(up) {
    if (up) this.letGo();
    else if (this.rows.atEnd) this.caughtUp();
    this.draw();
  }
  caughtUp() {
    this.missed = 0;
    if (this.runs && !this.following) { this.following = true; this.bar.state(this); }
  }
  toEnd() { this.rows.end(); this.caughtUp(); this.draw(); }

  clicked(event) {
    const fold = event.target.closest(".fold");
    if (fold) { this.fold(this.steps.headed(Number(fold.closest(".line").dataset.line))); return; }
    const link = event.target.closest("a.n");
    if (!link || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const line = Number(link.closest(".line").dataset.line), [first, last] = this.chosen || [line, line];
    this.choose(...(event.shiftKey ? [Math.min(first, line), Math.max(last, line)] : [line, line]));
    history.replaceState(null, "", this.hash());
  }
  choose(first, last) { this.chosen = [first, last]; this.letGo(); this.bar.chosen(this); this.draw(); }
  hash() { const [first, last] = this.chosen; return `#a${this.attempt}:L${first}${last > first ? `-L${last}` : ""}`; }

  go() {
    const found = address();
    if (!found) return false;
    if (found.attempt !== this.attempt && this.facts.attempts.includes(found.attempt)) this.open(found.attempt, 0);
    const there = () => {
      const last = Math.max(1, this.source.total);
      this.choose(Math.min(found.first, last), Math.min(found.last, last));
      this.reveal(this.chosen[0]);
      this.scrollIntoView({ block: "nearest" });
    };
    if (this.source.total) there();
    else this.source.tail().then(there);
    return true;
  }

  // ---- steps

  fold(step) {
    if (!step) return;
    this.letGo();
    this.steps.toggle(step);
    this.refold();
  }
  foldAll(fold) { this.steps.all(fold); this.refold(); }
  toStep(step) { this.letGo(); this.reveal(step.first_line, "start"); }
  reveal(line, where = "middle") {
    const step = this.steps.at(line);
    if (step && line > step.first_line && this.steps.folded.has(step.number)) { this.steps.toggle(step, false); this.refold(); }
    this.following = false;
    this.rows.to(line, where);
    this.bar.state(this);
    this.draw();
  }

  // ---- search

  async find(wanted, back = false) {
    const same = JSON.stringify(wanted) === this.sought && this.searchedAt === this.source.total;
    if (same && this.search?.count) { this.step(back ? -1 : 1); return; }
    this.stopSearching();
    if (!wanted) return;
    this.sought = JSON.stringify(wanted);
    this.searchedAt = this.source.total;
    const say = (words) => this.bar.count(words);
    const search = this.search = wanted.errors ? LogSearch.forErrors(this.dataset.api, this.attempt, say) : new LogSearch(this.dataset.api, this.attempt, wanted, say);
    say("searching …");
    try {
      if (!await search.run()) return;
      if (!search.count) { say(wanted.errors ? "no line looks like an error" : "nothing found"); this.draw(); return; }
      const failed = wanted.errors && this.steps.steps.find((step) => step.exit_code || step.outcome === "failed");
      search.at = await search.near(wanted.errors ? failed?.first_line || 1 : this.rows.top);
      await this.showHit();
    } catch (error) { say(error.message); }
  }
  async step(by) {
    if (!this.search?.count) return;
    this.search.at = (this.search.at + by + this.search.count) % this.search.count;
    try { await this.showHit(); } catch (error) { this.bar.count(error.message); }
  }
  async showHit() {
    const search = this.search;
    search.current = await search.line(search.at);
    if (search !== this.search) return;
    this.bar.count(`${(search.at + 1).toLocaleString("en")} of ${search.count.toLocaleString("en")}${search.unreached ? " or more" : ""}`);
    this.reveal(search.current);
  }
  stopSearching() {
    if (this.search) this.search.over = true;
    this.search = null;
    this.sought = "";
    this.bar.count("");
    if (this.source) this.draw();
  }

  // ---- times and copies

  timeOf(number, at) { return timeWords(this, number, at); }

  async copy(times) {
    const [first, last] = this.chosen || [this.rows.top, this.rows.line(Math.min(this.rows.count, this.rows.anchor.row + this.rows.seen) - 1)];
    if (last - first >= MOST_COPIED) { this.bar.count(`more than ${MOST_COPIED.toLocaleString("en")} lines: download the log`); return; }
    const url = `${this.dataset.api}?attempt=${this.attempt}&lines=${first}-${last}${times ? "&timestamps=true" : ""}`;
    const text = await fetch(url, { credentials: "same-origin" }).then((answer) => (answer.ok ? answer.text() : null)).catch(() => null);
    if (text === null) { this.bar.count("these lines cannot be read now"); return; }
    await copyText(text);
    this.bar.count(first === last ? `copied line ${first}` : `copied lines ${first} to ${last}`);
  }
}

function address() {
  const found = /^#a(\d{1,6}):L(\d{1,12})(?:-L?(\d{1,12}))?$/.exec(location.hash);
  if (!found) return null;
  const [first, last] = [Number(found[2]), Number(found[3] || found[2])];
  return { attempt: Number(found[1]), first: Math.max(1, Math.min(first, last)), last: Math.max(1, first, last) };
}

customElements.define("log-view", LogView);

// What stands above and below a log: search, steps, times, copies, and what is missed while nobody follows.
import { TIMES } from "./log-words.js";

export class LogBar {
  constructor(view) {
    this.view = view;
    this.top = make("div", "log-bar");
    this.steps = make("div", "log-steps");
    this.steps.hidden = true;
    this.range = make("div", "log-range");
    this.range.hidden = true;
    this.searching();
    this.buttons();
    this.news = button("", () => { view.toEnd(); view.box.focus({ preventScroll: true }); });
    this.news.className = "log-new main";
    this.news.hidden = true;
  }

  // Where the parts are.
  place() {
    this.view.box.before(this.top, this.steps);
    this.view.box.after(this.news, this.range);
    this.view.querySelector(".log-told")?.remove();
    for (const link of this.view.querySelectorAll(".log-attempts a")) this.attemptLink(link);
  }

  searching() {
    const { view } = this, form = make("form", "log-search");
    form.setAttribute("role", "search");
    this.words = Object.assign(make("input"), { type: "search", placeholder: "Search the whole log", autocomplete: "off", spellcheck: false });
    this.words.setAttribute("aria-label", "Search the whole log");
    this.words.dataset.key = "/";
    const wanted = () => (this.words.value ? { text: this.words.value, ...(this.fold ? { ignore_case: "true" } : {}) } : null);
    form.addEventListener("submit", (event) => { event.preventDefault(); view.find(wanted()); });
    this.words.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.shiftKey) { event.preventDefault(); view.find(wanted(), true); }
      if (event.key === "Escape") { this.words.value = ""; view.stopSearching(); view.box.focus({ preventScroll: true }); }
    });
    this.words.addEventListener("search", () => { if (!this.words.value) view.stopSearching(); });
    this.fold = false;
    const fold = button("Aa", () => { this.fold = !this.fold; fold.setAttribute("aria-pressed", String(!this.fold)); if (this.words.value) view.find(wanted()); });
    fold.title = "Capital letters matter";
    fold.setAttribute("aria-label", "Capital letters matter");
    fold.setAttribute("aria-pressed", "true");
    this.counted = make("span", "log-count soft");
    this.counted.setAttribute("role", "status");
    form.append(this.words, fold, labelled("↑", "Previous", () => view.step(-1)), labelled("↓", "Next", () => view.step(1)), this.counted);
    this.top.append(form);
  }

  buttons() {
    const { view } = this, group = make("div", "log-group");
    group.append(button("First error", () => view.find({ errors: true })));
    this.fold1 = button("Fold steps", () => {
      const fold = view.steps.folded.size < view.steps.steps.length;
      view.foldAll(fold);
      this.stepList(view);
    });
    this.fold1.hidden = true;
    const wrap = button("Wrap", () => {
      const line = view.rows.top, on = view.box.classList.toggle("wrapped");
      view.rows.wrapped = on;
      wrap.setAttribute("aria-pressed", String(on));
      if (view.following || view.rows.atEnd) view.rows.end(); else view.rows.to(line);
    });
    wrap.setAttribute("aria-pressed", "false");
    const times = make("select");
    times.setAttribute("aria-label", "Times");
    for (const [mode, words] of Object.entries(TIMES)) times.append(new Option(words, mode));
    times.addEventListener("change", () => {
      view.mode = times.value;
      view.box.classList.toggle("timed", view.mode !== "none");
      view.draw();
    });
    this.said = make("span", "log-state");
    group.append(this.fold1, wrap, times, button("Copy", () => view.copy(view.mode !== "none")), labelled("Start", "Start", () => { view.letGo(); view.rows.to(1); }),
      labelled("End", "End", () => view.toEnd()), this.said);
    this.top.append(group);
  }

  count(words) { if (this.counted.textContent !== words) this.counted.textContent = words; }

  missed(view) {
    this.news.hidden = !view.missed;
    const words = `${view.missed.toLocaleString("en")} new line${view.missed === 1 ? "" : "s"} ↓`;
    if (this.news.textContent !== words) this.news.textContent = words;
  }

  state(view) {
    const words = view.failing ? "trying again" : !view.runs ? "ended" : view.following ? "following" : "live";
    this.said.dataset.state = words;
    if (this.said.textContent !== words) this.said.textContent = words;
  }

  chosen(view) {
    const [first, last] = view.chosen;
    this.range.hidden = false;
    this.range.replaceChildren(
      Object.assign(make("span", "soft"), { textContent: first === last ? `Line ${first}` : `Lines ${first} to ${last}` }),
      button("Copy", () => view.copy(false)), button("Copy with times", () => view.copy(true)),
      button("Copy link", async () => { await copyText(location.href.replace(/#.*$/, "") + view.hash()); this.count("copied the link"); }),
      button("Clear", () => {
        view.chosen = null;
        this.range.hidden = true;
        history.replaceState(null, "", location.pathname + location.search);
        view.draw();
      }),
    );
  }

  stepList(view) {
    const steps = view.steps.steps;
    this.steps.hidden = this.fold1.hidden = steps.length === 0;
    this.fold1.textContent = view.steps.folded.size && view.steps.folded.size === steps.length ? "Unfold steps" : "Fold steps";
    this.steps.replaceChildren(...steps.map((step) => {
      const bad = step.exit_code || ["failed", "timed_out"].includes(step.outcome);
      const over = step.outcome || step.last_line, sign = bad ? "✗" : step.outcome ? "✓" : over ? "·" : "▶", made = button(`${sign} ${step.name}`, () => view.toStep(step));
      made.title = `Step ${step.number}: ${view.steps.told(step, view.source.total)}`;
      made.className = bad ? "bad" : step.outcome ? "good" : over ? "" : "busy";
      return made;
    }));
    this.steps.setAttribute("role", "group");
    this.steps.setAttribute("aria-label", "Go to a step");
  }

  // Links of attempts change the log without loading the page again; one that is new gets its own.
  attempts(view) {
    const { attempts } = view.facts;
    let nav = view.querySelector(".log-attempts");
    if (!nav && attempts.length > 1) {
      nav = make("nav", "log-attempts");
      nav.setAttribute("aria-label", "Attempts' logs");
      view.prepend(nav);
    }
    for (const number of nav ? attempts : []) {
      if (nav.querySelector(`[data-attempt="${number}"]`)) continue;
      const link = Object.assign(make("a"), { href: `${view.dataset.page}?attempt=${number}#log`, textContent: `Attempt ${number}` });
      link.dataset.attempt = number;
      this.attemptLink(link);
      nav.append(link);
    }
    for (const link of nav?.querySelectorAll("a") || []) {
      // What became of it the page knows, in its list of attempts.
      const now = document.querySelector(`#attempt-${link.dataset.attempt} > summary > .badge`), shown = link.querySelector(".badge");
      if (now && !shown) link.append(" ", now.cloneNode(true));
      else if (now && shown.textContent !== now.textContent) shown.replaceWith(now.cloneNode(true));
      if (Number(link.dataset.attempt) === view.attempt) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    view.box.setAttribute("aria-label", `Log of attempt ${view.attempt}`);
    for (const link of view.querySelectorAll(".log-links a")) {
      const url = new URL(link.href);
      url.searchParams.set("attempt", view.attempt);
      link.href = url.href;
      if (link.download) link.download = link.download.replace(/-\d+\.log$/, `-${view.attempt}.log`);
    }
  }
  attemptLink(link) {
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.view.show(Number(link.dataset.attempt));
    });
  }
}

function make(name, className = "") { return Object.assign(document.createElement(name), { className }); }
function button(words, does) {
  const made = Object.assign(document.createElement("button"), { type: "button", textContent: words });
  made.addEventListener("click", () => does(made));
  return made;
}
function labelled(sign, words, does) {
  const made = button(sign, does);
  made.title = words;
  made.setAttribute("aria-label", words);
  return made;
}

export async function copyText(text) {
  try { await navigator.clipboard.writeText(text); return; } catch { /* a page of plain http may not */ }
  const area = Object.assign(document.createElement("textarea"), { value: text, className: "unseen" });
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

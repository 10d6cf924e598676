// The steps of an attempt in its log: which lines they are, which are folded, how a folded one is told.

const AGAIN_MS = 2000;

export class LogSteps {
  constructor(api, attempt, changed) {
    Object.assign(this, { api, attempt, changed });
    this.steps = [];
    this.folded = new Set();
    this.cursor = "";
    this.last = 0;
  }

  // While the attempt runs the new ones; once it has ended, all as its agent said.
  async look(ended) {
    clearTimeout(this.soon);
    const wait = this.last + AGAIN_MS - performance.now();
    if (wait > 0 && !ended) { this.soon = setTimeout(() => this.look(false), wait); return; }
    if (this.over || (this.exact && ended)) return;
    this.last = performance.now();
    try {
      const cursor = !ended && this.cursor ? `&cursor=${this.cursor}` : "";
      const answer = await fetch(`${this.api}/steps?attempt=${this.attempt}${cursor}`, { credentials: "same-origin" });
      if (!answer.ok || this.over) return;
      const found = await answer.json(), before = JSON.stringify(this.steps);
      if (found.next_cursor === null) { this.steps = found.steps; this.exact = true; }
      else if (found.steps.length && found.steps[0].number === this.steps.length + 1) {
        const running = this.steps.at(-1);
        if (running) running.last_line = found.steps[0].first_line - 1;
        this.steps.push(...found.steps);
      }
      if (found.next_cursor) this.cursor = found.next_cursor;
      if (JSON.stringify(this.steps) !== before) this.changed();
    } catch { /* it is looked again */ }
  }

  at(line) { // the step of which this line is a part
    return this.steps.findLast((step) => step.first_line <= line && (step.last_line ?? Infinity) >= line);
  }
  headed(line) { return this.steps.find((step) => step.first_line === line); }

  toggle(step, fold = !this.folded.has(step.number)) {
    if (fold) this.folded.add(step.number);
    else this.folded.delete(step.number);
  }
  all(fold) { for (const step of this.steps) this.toggle(step, fold); }

  // The lines that are hidden.
  folds(total) {
    return this.steps.filter((step) => this.folded.has(step.number))
      .map((step) => [step.first_line + 1, Math.min(step.last_line ?? total, total)])
      .filter(([first, last]) => last >= first);
  }

  told(step, total) {
    const lines = (step.last_line ?? total) - step.first_line, words = [`${lines.toLocaleString("en")} lines`];
    if (step.started_at && step.finished_at) words.push(span((step.finished_at - step.started_at) / 1000));
    if (step.exit_code) words.push(`exit ${step.exit_code}`);
    return words.join(" · ");
  }

  close() { this.over = true; clearTimeout(this.soon); }
}

export function span(seconds) {
  seconds = Math.max(seconds, 0); // clocks differ
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

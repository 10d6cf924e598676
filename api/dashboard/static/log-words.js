// What a row of the log says besides its text: its time as it is wanted, its step, whether it is found or chosen.

const MODES = ["none", "local", "utc", "start", "step"];
export const TIMES = { none: "no times", local: "local time", utc: "UTC", start: "since the start", step: "since the step's start" };

export function nextMode(mode) { return MODES[(MODES.indexOf(mode) + 1) % MODES.length]; }

export function timeWords(view, number, at) {
  if (view.mode === "local") return `${at.toLocaleTimeString(undefined, { hour12: false })}.${String(at.getMilliseconds()).padStart(3, "0")}`;
  if (view.mode === "utc") return at.toISOString().slice(11, 23);
  const step = view.mode === "step" ? view.steps.at(number) : null;
  const begun = view.source.moment(step ? step.first_line : 1);
  if (!begun) return "";
  const seconds = (at - begun) / 1000;
  return seconds < 60 ? `+${seconds.toFixed(3)}` : `+${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(3).padStart(6, "0")}`;
}

export function dressed(view, row, number) {
  const { search, chosen, steps } = view;
  row.classList.toggle("hit", search?.has(number) || false);
  row.classList.toggle("now", Boolean(search?.count) && search.current === number);
  row.classList.toggle("chosen", Boolean(chosen && number >= chosen[0] && number <= chosen[1]));
  const time = row.querySelector(".t");
  if (time?.dataset.at) {
    const words = view.mode === "none" ? "" : view.timeOf(number, new Date(time.dataset.at));
    if (time.textContent !== words) { time.textContent = words; time.title = time.dataset.at; }
  }
  head(view, row, steps.headed(number));
}

function head(view, row, step) {
  row.classList.toggle("step", Boolean(step));
  let button = row.querySelector(".fold");
  if (!step || !row.source) { button?.remove(); row.querySelector(".folded")?.remove(); return; }
  if (!button) {
    button = document.createElement("button");
    button.type = "button";
    button.className = "fold";
    row.querySelector(".x").before(button);
    row.append(Object.assign(document.createElement("span"), { className: "folded" }));
  }
  const folded = view.steps.folded.has(step.number), words = folded ? ` ${view.steps.told(step, view.source.total)}` : "";
  button.textContent = folded ? "▸" : "▾";
  button.setAttribute("aria-expanded", String(!folded));
  button.setAttribute("aria-label", `Step ${step.number}: ${step.name}`);
  row.classList.toggle("bad", Boolean(step.exit_code) || ["failed", "timed_out", "error"].includes(step.outcome));
  const told = row.querySelector(".folded");
  if (told.textContent !== words) told.textContent = words;
}

// Times in the viewer's zone, the theme, and keys. Every page works without any of it.
import { follow } from "./live.js";
import "./log.js";

const THEMES = ["system", "light", "dark"];

export function showTimes(within) {
  const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  for (const each of within.querySelectorAll("time[datetime]")) {
    const moment = new Date(each.dateTime);
    each.textContent = zone.format(moment);
    each.title = moment.toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC");
  }
}

function setTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const button = document.getElementById("theme");
  if (button) { button.textContent = `Theme: ${theme}`; button.hidden = false; }
}

let theme = localStorage.getItem("theme") || "system";
setTheme(theme);
document.getElementById("theme")?.addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  localStorage.setItem("theme", theme);
  setTheme(theme);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, [contenteditable]")) return;
  if (event.key === "?") { document.getElementById("keys")?.showModal(); return; }
  if (event.key === "/") { const search = document.querySelector("main input"); if (search) { event.preventDefault(); search.focus(); } return; }
  const rows = [...document.querySelectorAll("main tbody tr:has(a)")];
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const to = { j: at + 1, k: at - 1 }[event.key];
  if (to !== undefined && rows[to]) rows[to].querySelector("a").focus();
});

// A link of `hybridci open`: the ticket stands behind #, which no server and no log sees; using it up is a POST.
const ticket = /^#ticket=([\w-]{20,200})$/.exec(location.hash)?.[1];
const byTicket = document.getElementById("by-ticket");
if (ticket && byTicket) {
  history.replaceState(null, "", location.pathname + location.search);
  byTicket.elements.ticket.value = ticket;
  byTicket.submit();
}

showTimes(document);
follow(document.querySelector("main"), () => showTimes(document));

// Moments in the viewer's zone, with the exact UTC on hover; in lists how long ago, unless an ancestor has `data-exact`.

const ZONE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const AGO = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const STEPS = [["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1]];
const LOOK_MS = 15_000;
const LISTED = "tbody time, li time, time[data-ago]";

function ago(moment) {
  const seconds = (moment - Date.now()) / 1000, far = Math.abs(seconds);
  if (far < 10) return "now";
  if (far > 30 * 86_400) return ZONE.format(moment);
  const [unit, size] = STEPS.find(([, least]) => far >= least);
  return AGO.format(Math.round(seconds / size), unit);
}

export function showTimes(within) {
  for (const each of within.querySelectorAll("time[datetime]")) {
    const moment = new Date(each.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    const exact = moment.toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC");
    const relative = each.matches(LISTED) && !each.closest("[data-exact]");
    const words = relative ? ago(moment) : ZONE.format(moment);
    const title = relative ? `${ZONE.format(moment)} · ${exact}` : exact;
    if (each.textContent !== words) each.textContent = words;
    if (each.title !== title) each.title = title;
  }
}

setInterval(() => { if (!document.hidden) showTimes(document); }, LOOK_MS);
document.addEventListener("visibilitychange", () => { if (!document.hidden) showTimes(document); });

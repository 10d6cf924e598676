// Keys, the theme, and a link of `hybridci open`. Every page works without any of it.
import { keys } from "./keys.js";
import { follow } from "./live.js";
import "./log.js";
import { showTimes } from "./times.js";
import { theme } from "./theme.js";

theme();
keys();

// On a narrow screen the pages' names are a line that scrolls: the one that is shown stands in sight.
const pages = document.querySelector(".top nav"), current = pages?.querySelector("[aria-current=page]");
if (current) pages.scrollLeft = current.offsetLeft - (pages.clientWidth - current.offsetWidth) / 2 - pages.offsetLeft;

// The ticket stands behind #, which no server and no log sees; using it up is a POST.
const ticket = /^#ticket=([\w-]{20,200})$/.exec(location.hash)?.[1];
const byTicket = document.getElementById("by-ticket");
if (ticket && byTicket) {
  history.replaceState(null, "", location.pathname + location.search);
  byTicket.elements.ticket.value = ticket;
  byTicket.submit();
}

showTimes(document);
follow(document.querySelector("main"), () => showTimes(document));

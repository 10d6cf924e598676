// A page is live by being asked for again when something that it shows has changed. One event stream a tab, closed while the
// tab is hidden. `data-live` on <main> says of which subjects: "*", or words such as "job:ID deployment:ID service:NAME".

const QUIET_MS = 250;
const MOVES_MS = 2000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30000;

export function follow(main, changed) {
  const topics = main?.dataset.live?.split(/\s+/).filter(Boolean);
  if (!topics?.length) return;
  const root = document.documentElement.dataset.root || "";
  const shown = document.getElementById("live-state");
  let source = null, wait = FIRST_WAIT_MS, soon = 0, again = 0, asking = false, stale = false;

  const say = (words) => { if (shown && shown.textContent !== words) shown.textContent = words; };
  const concerns = (told) => topics.includes("*") || topics.some((topic) => {
    const [kind, name] = [topic.slice(0, topic.indexOf(":")), topic.slice(topic.indexOf(":") + 1)];
    return told[`${kind}_id`] === name || told[`${kind}_name`] === name || (name === "*" && told.action?.startsWith(`${kind}.`));
  });

  async function refresh() {
    if (asking) { stale = true; return; }
    asking = true;
    try {
      const answer = await fetch(location.href, { headers: { "Accept": "text/html" }, credentials: "same-origin", redirect: "follow" });
      if (answer.redirected && new URL(answer.url).pathname.endsWith("/sign-in")) { say("signed out"); stop(); return; }
      if (answer.ok) put(await answer.text());
    } catch { say("reconnecting"); } finally {
      asking = false;
      if (stale) { stale = false; later(); }
    }
  }

  function put(text) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const fresh = page.querySelector("main");
    if (!fresh) return;
    morph(main, fresh);
    document.title = page.title;
    changed();
  }

  function later() { clearTimeout(soon); soon = setTimeout(refresh, QUIET_MS); }
  function stop() { source?.close(); source = null; clearTimeout(again); }

  function start() {
    if (source) return;
    source = new EventSource(`${root}/live`);
    source.addEventListener("open", () => { wait = FIRST_WAIT_MS; say("live"); later(); }); // what changed before
    source.addEventListener("message", take);
    source.addEventListener("error", () => {
      stop();
      say(`reconnecting in ${Math.ceil(wait / 1000)} s`);
      again = setTimeout(start, wait * (0.5 + Math.random() / 2));
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    });
  }

  function take(message) {
    try { if (JSON.parse(message.data).some(concerns)) later(); } catch { later(); }
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { stop(); say("paused"); } else start();
  });
  if (!document.hidden) start();
  // That an agent has begun is no event: what moves is looked at now and then.
  setInterval(() => { if (source && main.dataset.moves === "yes") refresh(); }, MOVES_MS);
}

// Only what differs is changed, so that focus, selection, open details and half-filled forms stay.
function morph(old, fresh) {
  for (const { name, value } of [...fresh.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  const keys = new Map([...old.children].filter((each) => each.id).map((each) => [each.id, each]));
  let here = old.firstChild;
  for (const node of [...fresh.childNodes]) {
    const same = node.id && keys.get(node.id);
    if (same && same !== here) { old.insertBefore(same, here); here = same; }
    if (!here) { old.append(document.importNode(node, true)); continue; }
    const next = here.nextSibling;
    if (here.nodeType === node.nodeType && here.nodeName === node.nodeName && (here.id || "") === (node.id || "")) {
      if (here.nodeType === Node.TEXT_NODE) { if (here.data !== node.data) here.data = node.data; }
      else if (here.matches?.("input, textarea, select")) { /* what somebody types is theirs */ }
      else if (here.matches?.("time[datetime]") && here.dateTime === node.dateTime) { /* shown in the viewer's zone */ }
      else if (here.nodeType === Node.ELEMENT_NODE && !here.hasAttribute("data-keep")) morph(here, node);
      here = next;
    } else { old.replaceChild(document.importNode(node, true), here); here = next; }
  }
  while (here) { const next = here.nextSibling; here.remove(); here = next; }
}

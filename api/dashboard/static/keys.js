// Keys: the page's own list of them (`?`) says which. Single keys can be switched off there, for who speaks to the browser.

const SEQUENCE_MS = 1500;
const TYPING = "input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]";

export function keys() {
  const dialog = document.getElementById("keys"), single = document.getElementById("single-keys");
  let on = stored() !== "off", begun = -SEQUENCE_MS;
  if (single) {
    single.checked = on;
    single.addEventListener("change", () => { on = single.checked; keep(on ? "on" : "off"); });
  }
  document.getElementById("show-keys")?.addEventListener("click", () => dialog?.showModal());

  document.addEventListener("keydown", (event) => {
    if (!on || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.closest?.(TYPING) || dialog?.open) return;
    const does = event.timeStamp - begun < SEQUENCE_MS ? going(event.key) : key(event.key);  // when it was pressed, however busy the page
    begun = event.key === "g" && !does ? event.timeStamp : -SEQUENCE_MS;
    if (does) { event.preventDefault(); does(); }
  });

  function key(name) {
    if (name === "?") return () => dialog?.showModal();
    if (name === "/") return focusing(document.querySelector("[data-key='/']") || document.querySelector("main input[type=search], main form[role=search] input"));
    if (name === "f") return focusing(document.querySelector("[data-key='f']") || document.querySelector("main form[role=search] :is(input, select)"));
    if (name === "j" || name === "k") return () => move(name === "j" ? 1 : -1);
    return null;
  }
}

function going(name) {
  const link = [...document.querySelectorAll("nav a[data-go]")].find((each) => each.dataset.go === name);
  return link ? () => link.click() : null;
}

function focusing(found) {
  if (!found) return null;
  return () => {
    for (let each = found.closest("details"); each; each = each.parentElement?.closest("details")) each.open = true;
    const field = found.matches("input, select, textarea, button, a, summary") ? found : found.querySelector("input, select, textarea, button, a") || found;
    field.focus();
    field.select?.();
  };
}

function move(by) {
  const rows = [...document.querySelectorAll("main :is(tbody tr, [data-row]):has(a)")].filter((row) => row.offsetParent !== null);
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const row = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by];
  if (!row) return;
  row.querySelector("a").focus();
  row.scrollIntoView({ block: "nearest" });
}

function stored() { try { return localStorage.getItem("single-keys"); } catch { return null; } }
function keep(value) { try { localStorage.setItem("single-keys", value); } catch { /* it holds for this page */ } }

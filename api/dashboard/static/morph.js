// Of a page only what differs is changed, so that focus, selection, open details and half-filled forms stay. What somebody
// has begun to fill in is never taken away, even when the page has no place for it any more.

const CONTROLS = "input, textarea, select";

export function morph(old, fresh) {
  attributes(old, fresh);
  if (old.hasAttribute("data-keep")) return; // a component of its own: it sees its attributes
  const keys = new Map([...old.children].filter(identity).map((each) => [identity(each), each]));
  let here = old.firstChild;
  for (const node of [...fresh.childNodes]) {
    while (here && orphan(here, fresh)) here = here.nextSibling;
    const same = identity(node) && keys.get(identity(node));
    if (same && same !== here) { old.insertBefore(same, here); here = same; }
    if (!here) { old.append(document.importNode(node, true)); continue; }
    const next = here.nextSibling;
    if (here.nodeType === node.nodeType && here.nodeName === node.nodeName && identity(here) === identity(node)) {
      if (here.nodeType === Node.TEXT_NODE) { if (here.data !== node.data) here.data = node.data; }
      else if (here.matches?.(CONTROLS)) control(here, node);
      else if (here.matches?.("time[datetime]") && here.dateTime === node.dateTime) { /* shown in the viewer's zone */ }
      else if (here.nodeType === Node.ELEMENT_NODE) morph(here, node);
      here = next;
    } else if (begun(here)) old.insertBefore(document.importNode(node, true), here);
    else { old.replaceChild(document.importNode(node, true), here); here = next; }
  }
  while (here) {
    const next = here.nextSibling;
    if (!begun(here)) here.remove();
    here = next;
  }
}

function attributes(old, fresh) {
  for (const { name, value } of [...fresh.attributes]) {
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
}

// A form is the one of its address, whatever stands beside it.
function identity(node) {
  return node.id || (node.nodeName === "FORM" ? `form ${node.getAttribute("action") || ""}` : "");
}

function orphan(here, fresh) {
  return here.nodeName === "FORM" && begun(here)
    && ![...fresh.children].some((each) => identity(each) === identity(here));
}

function changed(each) {
  if (each.type === "hidden") return false;
  if (each.matches("select")) {
    const chosen = [...each.options].some((option) => option.defaultSelected);
    return [...each.options].some((option, index) => option.selected !== (chosen ? option.defaultSelected : index === 0));
  }
  return each.value !== each.defaultValue || each.checked !== each.defaultChecked;
}

function begun(node) {
  if (node.nodeType !== Node.ELEMENT_NODE) return false;
  const controls = node.matches(CONTROLS) ? [node] : [...node.querySelectorAll(CONTROLS)];
  return controls.some((each) => changed(each) || (each === document.activeElement && each.matches("input, textarea")));
}

function control(here, fresh) {
  if (changed(here) || here === document.activeElement) return; // what somebody types is theirs
  if (here.matches("select")) { morph(here, fresh); return; }
  attributes(here, fresh);
  if (here.type === "hidden") here.value = fresh.value;
  if (here.matches("textarea") && here.defaultValue !== fresh.defaultValue) here.defaultValue = fresh.defaultValue;
}

// The theme is a cookie, so that the server says it before anything is painted. Without scripts the form sets it.

const YEAR = 365 * 86_400;
const THEMES = ["system", "light", "dark"];

export function theme() {
  const form = document.getElementById("theme");
  if (!form) return;
  const root = document.documentElement, button = form.querySelector("button"), next = form.elements.theme;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = THEMES.includes(next.value) ? next.value : "system";
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `hybridci_theme=${chosen}; Path=${root.dataset.root || ""}/; Max-Age=${YEAR}; SameSite=Lax${secure}`;
    if (chosen === "system") delete root.dataset.theme;
    else root.dataset.theme = chosen;
    button.textContent = `Theme: ${chosen}`;
    next.value = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length];
  });
}

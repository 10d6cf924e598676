// The editor of a definition: numbered lines beside the text, and an error's link leads to its line. It works without this.
class TextLines extends HTMLElement {
  connectedCallback() {
    const area = this.querySelector("textarea");
    if (!area) return;
    const gutter = document.createElement("pre");
    gutter.className = "gutter";
    gutter.setAttribute("aria-hidden", "true");
    this.prepend(gutter);
    const bad = new Set([...document.querySelectorAll("[data-line]")].map((each) => Number(each.dataset.line)));
    const draw = () => {
      const count = area.value.split("\n").length;
      gutter.replaceChildren(...Array.from({ length: count }, (_, at) => {
        const line = document.createElement("span");
        line.textContent = `${at + 1}\n`;
        if (bad.has(at + 1)) line.className = "bad";
        return line;
      }));
      gutter.scrollTop = area.scrollTop;
    };
    area.addEventListener("input", draw);
    area.addEventListener("scroll", () => { gutter.scrollTop = area.scrollTop; });
    for (const link of document.querySelectorAll("a[data-line]")) {
      link.addEventListener("click", (event) => { event.preventDefault(); this.select(area, Number(link.dataset.line)); });
    }
    draw();
  }

  select(area, number) {
    const lines = area.value.split("\n");
    const begin = lines.slice(0, number - 1).reduce((sum, line) => sum + line.length + 1, 0);
    area.focus();
    area.setSelectionRange(begin, begin + (lines[number - 1] || "").length);
    const height = parseFloat(getComputedStyle(area).lineHeight) || 20;
    area.scrollTop = Math.max(0, (number - 4) * height);
  }
}

customElements.define("text-lines", TextLines);

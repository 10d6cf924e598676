// Dead letters: one box ticks all, and ticking one says that the chosen ones are meant. The form works without it.
const form = document.querySelector("form.letters");
const all = form?.querySelector(".pick-all");
const boxes = () => [...form.querySelectorAll("input[name=job]")];
if (all) {
  all.addEventListener("change", () => { for (const box of boxes()) box.checked = all.checked; });
  form.addEventListener("change", (event) => {
    if (event.target.name === "scope") return;
    const ticked = boxes().filter((box) => box.checked).length;
    all.checked = ticked > 0 && ticked === boxes().length;
    all.indeterminate = ticked > 0 && !all.checked;
    if (ticked) form.querySelector("input[value=chosen]").checked = true;
  });
}

// The rows of a log in a box that scrolls: only those that are seen, and a few around them, are in the document. A row is
// one line; lines that are folded away have none. `anchor` says which row, and which pixel of it, is at the top of the box.
//
// Where all heights are known (rows of one height in a log that a browser can be as tall as, or few rows) a pixel of the
// scroll bar is a pixel of the log. Otherwise the scroll bar tells shares: small movements are walked row by row.

export const ROW = 20;
const ABOVE = 40, BELOW = 40;
const TALLEST = 8_000_000;
const SETTLE_MS = 200;

export class LogRows {
  // `make(number)` the element of a line, `dress(row, number)` what changes about it, `want(first, last)` before they are shown.
  constructor(box, { make, dress, want, moved }) {
    Object.assign(this, { box, make, dress, want, moved });
    this.space = document.createElement("div");
    this.space.className = "space";
    this.box.replaceChildren(this.space);
    this.box.classList.add("virtual");
    this.total = 0;
    this.folds = [];
    this.anchor = { row: 0, px: 0 };
    this.nodes = new Map();
    this.heights = new Map();
    this.wrapped = false;
    this.average = ROW;
    this.last = 0;
    this.box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  // ---- rows and lines: `folds` are [first, last] of lines that are hidden, in order

  get count() { return this.total - this.folds.reduce((sum, [first, last]) => sum + last - first + 1, 0); }
  line(row) {
    let number = row + 1;
    for (const [first, last] of this.folds) { if (first > number) break; number += last - first + 1; }
    return number;
  }
  row(number) {
    let hidden = 0;
    for (const [first, last] of this.folds) {
      if (first > number) break;
      if (number <= last) return first - hidden - 2; // the line that folds it
      hidden += last - first + 1;
    }
    return number - 1 - hidden;
  }
  get seen() { return Math.max(1, Math.floor(this.box.clientHeight / ROW)); }
  get top() { return this.line(this.anchor.row); }
  get atEnd() { return this.ended; }

  // ---- moving

  get exact() { return this.wrapped ? this.count <= ABOVE : this.count * ROW <= TALLEST; }

  scrolled() {
    const delta = this.box.scrollTop - this.last;
    if (Math.abs(delta) < 0.5) return; // ours
    this.last = this.box.scrollTop;
    if (this.exact) this.anchor = { row: 0, px: this.box.scrollTop };
    else if (Math.abs(delta) <= 1.5 * this.box.clientHeight) this.anchor.px += delta;
    else this.anchor = { row: this.share * (this.count - 1), px: 0 };
    this.walk();
    this.draw();
    this.moved(delta < 0);
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.settle(), SETTLE_MS);
  }
  get share() {
    const room = this.box.scrollHeight - this.box.clientHeight;
    return room > 0 ? this.box.scrollTop / room : 0;
  }
  by(pixels) { this.anchor.px += pixels; this.walk(); this.draw(); this.settle(); this.moved(pixels < 0); }
  to(number, where = "start") {
    this.size(); // the box is as high as what is in it, at most
    const row = this.row(number);
    this.anchor = { row, px: where === "middle" ? -Math.floor(this.box.clientHeight / 2) + ROW : 0 };
    this.draw(); // heights around it
    this.walk();
    this.draw();
    this.settle();
  }
  end() { this.to(Math.max(1, this.total)); }

  height(row) { return this.wrapped ? this.heights.get(this.line(row)) || this.average : ROW; }
  walk() { // from a pixel of another row to that row
    const most = Math.max(0, this.count - 1);
    let { row, px } = this.anchor;
    row = Math.min(Math.max(0, Math.floor(row)), most);
    if (!this.wrapped) { const rows = Math.floor(px / ROW); row += rows; px -= rows * ROW; }
    else {
      while (px < 0 && row > 0) { row--; px += this.height(row); }
      while (row < most && px >= this.height(row)) { px -= this.height(row); row++; }
    }
    if (row < 0) this.anchor = { row: 0, px: 0 };
    else this.anchor = { row: Math.min(row, most), px: Math.max(0, px) };
  }
  settle() { // the scroll bar says where that is
    if (this.exact) {
      this.scroll(this.offset(this.anchor.row) + this.anchor.px);
      this.anchor = { row: 0, px: this.box.scrollTop }; // it cannot be scrolled beyond its end
      this.draw();
      return;
    }
    const room = this.box.scrollHeight - this.box.clientHeight;
    const share = this.ended ? 1 : Math.min(1, this.anchor.row / Math.max(1, this.count - 1));
    this.scroll(share * room);
    this.place();
  }
  scroll(top) {
    if (Math.abs(this.box.scrollTop - top) >= 1) this.box.scrollTop = top;
    this.last = this.box.scrollTop;
  }
  offset(row) {
    if (!this.wrapped) return row * ROW;
    let sum = 0;
    for (let each = 0; each < row; each++) sum += this.height(each);
    return sum;
  }

  // ---- drawing

  draw() {
    const count = this.count;
    this.walk();
    const first = Math.max(0, this.anchor.row - ABOVE - this.seen);
    const last = Math.min(count - 1, this.anchor.row + this.seen + BELOW);
    const [from, upto] = [this.line(first), count ? this.line(last) : 0];
    this.first = first; this.lastRow = last;
    if (count) this.want(from, upto);
    const wanted = [];
    for (let row = first; row <= last; row++) wanted.push(this.line(row));
    this.put(wanted);
    this.size();
    this.place();
  }

  put(numbers) { // nodes that stay are not touched, so that a selection stays
    const stay = new Set(numbers);
    for (const [number, node] of this.nodes) {
      if (stay.has(number)) continue;
      if (node.contains(document.activeElement)) this.box.focus({ preventScroll: true });
      node.remove();
      this.nodes.delete(number);
    }
    let next = this.space.firstChild;
    for (const number of numbers) {
      let node = this.nodes.get(number);
      const made = this.make(number, node);
      if (made !== node) {
        if (node) { if (node === next) next = node.nextSibling; node.remove(); }
        this.nodes.set(number, node = made);
      }
      if (node === next) next = next.nextSibling;
      else this.space.insertBefore(node, next);
      this.dress(node, number);
    }
  }

  size() {
    if (this.wrapped && this.nodes.size) {
      let sum = 0;
      this.heights.clear();
      for (const [number, node] of this.nodes) { this.heights.set(number, node.offsetHeight); sum += node.offsetHeight; }
      const mean = sum / this.nodes.size;
      if (Math.abs(mean - this.average) > this.average / 10) this.average = mean;
    }
    const all = this.exact && this.wrapped ? this.offset(this.count) : this.count * (this.wrapped ? this.average : ROW);
    const height = `${Math.min(Math.ceil(all), TALLEST)}px`;
    if (this.space.style.height !== height) {
      this.space.style.height = height;
      this.last = this.box.scrollTop; // a shorter log is scrolled by the browser
    }
  }

  place() {
    const room = this.box.clientHeight - this.padding;
    if (!this.count) { this.ended = true; return; }
    if (this.exact) {
      let y = this.offset(this.first);
      for (let row = this.first; row <= this.lastRow; row++) { this.set(row, y); y += this.height(row); }
      this.ended = this.box.scrollTop + this.box.clientHeight >= this.box.scrollHeight - 2;
      return;
    }
    let below = -this.anchor.px; // of the box's top
    for (let row = this.anchor.row; row <= this.lastRow; row++) below += this.height(row);
    this.ended = this.lastRow === this.count - 1 && below <= room + 1;
    if (this.ended && below < room) { // the last line stands at the bottom
      this.anchor.px -= room - below;
      this.walk();
    }
    let y = this.box.scrollTop - this.anchor.px;
    for (let row = this.anchor.row - 1; row >= this.first; row--) y -= this.height(row);
    for (let row = this.first; row <= this.lastRow; row++) { this.set(row, y); y += this.height(row); }
  }
  get padding() { return this.pad ??= parseFloat(getComputedStyle(this.box).paddingTop) * 2 || 0; }
  set(row, y) {
    const node = this.nodes.get(this.line(row)), top = `${Math.round(y)}px`;
    if (node && node.style.top !== top) node.style.top = top;
  }
}

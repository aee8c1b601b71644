// Tables that sort, charts that say their values, pictures that enlarge, a page that follows its run. Without it the page reads the same.
for (const table of document.querySelectorAll("table.sortable")) {
  const value = (row, column) => {
    const text = row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const number = parseFloat(text.replace("–", "").replace(/,/g, ""));
    return Number.isNaN(number) ? text : number;
  };
  const sort = (heading, column) => {
    const rising = heading.ariaSort === "descending" || (heading.ariaSort !== "ascending" && heading.dataset.better === "lower");
    for (const other of table.tHead.rows[table.tHead.rows.length - 1].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const rank = (a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1; // what has no number comes last
      const order = typeof x === "number" ? x - y : x.localeCompare(y);
      return rising ? order : -order;
    };
    for (const body of table.tBodies) body.append(...[...body.rows].sort(rank));
  };
  [...table.tHead.rows[table.tHead.rows.length - 1].cells].forEach((heading, column) => {
    if (!heading.textContent.trim()) return;
    heading.tabIndex = 0;
    heading.addEventListener("click", () => sort(heading, column));
    heading.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(heading, column); }
    });
  });
}

for (const chart of document.querySelectorAll("svg[role=img]")) {
  // The values under the pointer, and at the arrow keys.
  const points = [...chart.querySelectorAll(".shown")];
  const said = document.createElement("output");
  let at = -1;
  const show = (next) => {
    points[at]?.classList.remove("on");
    at = next;
    points[at]?.classList.add("on");
    said.textContent = points[at]?.textContent ?? "";
  };
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  chart.after(said);
  chart.tabIndex = 0;
  chart.addEventListener("pointerover", (event) => {
    if (points.includes(event.target)) show(points.indexOf(event.target));
  });
  chart.addEventListener("pointerleave", () => show(-1));
  chart.addEventListener("blur", () => show(-1));
  chart.addEventListener("keydown", (event) => {
    if (!(event.key in steps) || !points.length) return;
    event.preventDefault();
    show(at < 0 && steps[event.key] < 0 ? points.length - 1 : (at + steps[event.key] + points.length) % points.length);
  });
}

const dialog = document.createElement("dialog");
dialog.className = "enlarged";
dialog.append(document.createElement("img"));
dialog.addEventListener("click", () => dialog.close());
document.body.append(dialog);
for (const picture of document.querySelectorAll("figure img")) {
  const enlarge = () => {
    dialog.firstChild.src = picture.src;
    dialog.firstChild.alt = picture.alt;
    dialog.showModal();
  };
  picture.tabIndex = 0;
  picture.setAttribute("role", "button");
  picture.setAttribute("aria-label", `enlarge: ${picture.alt}`);
  picture.addEventListener("click", enlarge);
  picture.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); enlarge(); }
  });
}

if (document.body.dataset.reload) {
  // The place on the page is kept by the browser; nobody who looks at a picture is interrupted.
  setInterval(() => dialog.open || location.reload(), 1000 * document.body.dataset.reload);
}

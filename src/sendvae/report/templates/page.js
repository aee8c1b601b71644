// Tables that sort, pictures that enlarge, a page that follows its run. Without it the page reads the same.
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

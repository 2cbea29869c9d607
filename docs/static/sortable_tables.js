// Tables of ten rows or more are sorted by a click on a heading, and in reverse by the next click.
// Numbers come before text, and empty cells and dashes come last in both directions.
function keyOf(cell) {
  const text = cell.textContent.trim();
  const number = parseFloat(text);
  if (text === "" || text === "–") return [2, 0];
  return Number.isNaN(number) ? [1, text.toLowerCase()] : [0, number];
}

function compare(a, b, sign) {
  if (a[0] !== b[0]) return a[0] - b[0];
  return (a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : 0) * sign;
}

function sort(table, heading) {
  const column = heading.cellIndex;
  const ascending = heading.getAttribute("aria-sort") !== "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows].map((row) => [keyOf(row.cells[column]), row]);
  rows.sort((a, b) => compare(a[0], b[0], ascending ? 1 : -1));
  for (const [, row] of rows) table.tBodies[0].append(row);
}

function makeSortable(table) {
  for (const heading of table.tHead.rows[0].cells) {
    heading.tabIndex = 0;
    heading.title = "Sort";
    heading.style.cursor = "pointer";
    heading.addEventListener("click", () => sort(table, heading));
    heading.addEventListener("keydown", (event) => {
      if (event.key === "Enter") sort(table, heading);
    });
  }
}

document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("article table.docutils")) {
    const named = table.tHead && [...table.tHead.rows[0].cells].some((cell) => cell.textContent.trim());
    if (named && table.tBodies[0] && table.tBodies[0].rows.length >= 10) makeSortable(table);
  }
});

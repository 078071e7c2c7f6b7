// Tables and outputs that are wider than the page get a box of their own, which the keyboard can scroll.
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("article table")) {
    if (table.closest(".scrolls")) continue;
    const box = document.createElement("div");
    box.className = "scrolls";
    table.replaceWith(box);
    box.append(table);
  }
  const reach = () => {
    for (const box of document.querySelectorAll("article .scrolls, article pre")) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    }
  };
  reach();
  window.addEventListener("resize", reach);
});

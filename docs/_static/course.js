// Wide tables and outputs get a box that the keyboard can scroll; tables say that they go on. And how to save a file.
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("article table")) {
    let box = table.closest(".pst-scrollable-table-container"); // the theme's; tables in outputs have none
    if (!box) {
      box = document.createElement("div");
      table.replaceWith(box);
      box.append(table);
    }
    const hint = document.createElement("p");
    hint.className = "scrolls-hint";
    hint.textContent = "This table is wider than the screen: scroll it to the right.";
    box.before(hint);
    box.classList.add("scrolls");
    box.addEventListener("scroll", () => fade(box));
  }
  const fade = (box) => box.classList.toggle("more", box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
  const reach = () => {
    for (const box of document.querySelectorAll("article .scrolls, article pre")) {
      const wide = box.scrollWidth > box.clientWidth;
      if (wide) box.tabIndex = 0;
      if (box.matches(".scrolls")) {
        box.classList.toggle("wide", wide);
        fade(box);
      }
    }
  };
  reach();
  window.addEventListener("resize", reach);
  // From a server the browser saves such a file; from the disk it shows it.
  if (location.protocol === "file:") {
    for (const link of document.querySelectorAll(".page-files a[download]")) {
      link.insertAdjacentHTML("afterend", "<span>It opens as text: save it with Ctrl+S.</span>");
    }
  }
});

// a frame is filled when it comes near the window; scripts that several frames need are kept once, above
const open = (frame) => {
  if (frame.dataset.page === undefined) return;
  frame.srcdoc = frame.dataset.page.replace(/<!--(shared-\d+)-->/g,
    (_, name) => "<script>" + document.getElementById(name).textContent + "<" + "/script>");
  delete frame.dataset.page;
};
const watcher = new IntersectionObserver((seen) => seen.forEach((s) => s.isIntersecting && open(s.target)), { rootMargin: "600px" });
document.querySelectorAll("iframe").forEach((frame) => watcher.observe(frame));

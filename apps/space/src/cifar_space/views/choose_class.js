// A click on a class's bar chooses it, and no file shows the sign of a broken image.
element.addEventListener('click', (event) => {
  const bar = event.target.closest('button[data-class]');
  if (bar) trigger('select', {index: bar.dataset.class, value: bar.dataset.class});
});
document.addEventListener('error', (event) => {
  if (event.target.matches?.('#pictures img')) event.target.classList.add('unreadable');
}, true);

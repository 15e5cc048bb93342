// A drag on one of the check's pictures draws its box, moves it, or scales it at a corner; a click chooses a person.
element.addEventListener('click', event => { if (event.target.closest('[data-reset]')) trigger('click', {reset: true}); });
element.addEventListener('pointerdown', down => {
  const svg = down.target.closest('svg.found');
  if (!svg) return;
  down.preventDefault();
  const rect = svg.querySelector('.box'), view = svg.viewBox.baseVal, place = svg.getBoundingClientRect();
  const keep = (value, low, high) => Math.min(high, Math.max(low, value));
  const at = event =>
    [keep((event.clientX - place.left) / place.width, 0, 1), keep((event.clientY - place.top) / place.height, 0, 1)];
  const size = [view.width, view.height], names = [['x', 'width'], ['y', 'height']];
  const old = names.map(([from, long], axis) => [rect.getAttribute(from) / size[axis], rect.getAttribute(long) / size[axis]]);
  const start = at(down), whole = old.every(([, long]) => long > 0.99);
  const near = old.map(([from, long], axis) =>
    Math.abs(start[axis] - from) < 0.06 ? from + long : Math.abs(start[axis] - from - long) < 0.06 ? from : null);
  const inside = old.every(([from, long], axis) => start[axis] > from && start[axis] < from + long);
  const scale = near.every(value => value !== null), move = !scale && inside && !whole;
  let box = null;
  const dragged = event => {
    const now = at(event);
    if (!box && Math.hypot(now[0] - start[0], now[1] - start[1]) < 0.03) return;
    box = names.map((_, axis) => {
      if (move) return [keep(old[axis][0] + now[axis] - start[axis], 0, 1 - old[axis][1]), old[axis][1]];
      const fixed = scale ? near[axis] : start[axis];
      return [Math.min(fixed, now[axis]), Math.max(0.05, Math.abs(now[axis] - fixed))];
    }).map(([from, long]) => [keep(from, 0, 1 - long), long]);
    names.forEach(([from, long], axis) => {
      rect.setAttribute(from, box[axis][0] * size[axis]); rect.setAttribute(long, box[axis][1] * size[axis]);
    });
  };
  const released = () => {
    window.removeEventListener('pointermove', dragged);
    const which = svg.dataset.which;
    trigger('click', box ? {which, box: [box[1][0], box[0][0], box[1][1], box[0][1]]} : {which, point: start});
  };
  window.addEventListener('pointermove', dragged);
  window.addEventListener('pointerup', released, {once: true});
});

// Why a run would not begin is repeated between the inputs and the button, where it is seen before the run on a phone too.
const warn = () => {
  const place = document.querySelector('#animate-warning'), warning = element.querySelector('[data-warning]');
  if (place) { place.textContent = warning ? warning.textContent : ''; place.hidden = !warning; }
};
new MutationObserver(warn).observe(element, {childList: true, characterData: true, subtree: true});  // texts are changed in place

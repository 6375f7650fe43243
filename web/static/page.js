// Keeps the page current without a flicker: every two seconds it fetches the
// page it is on and changes what is marked data-live and is no longer the same.
// Without this script the page refreshes itself by a meta tag.
"use strict";

const period = 2000;

// The notice of a pressed button is for now; a reload should not repeat it.
if (location.search) history.replaceState(null, "", location.pathname);

// sync makes old equal to fresh and touches as little as it can, so that what a
// reader has selected or is pointing at stays.
function sync(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  const kids = [...fresh.childNodes];
  if (old.nodeName !== fresh.nodeName || old.childNodes.length !== kids.length || !kids.length) {
    old.replaceWith(fresh);
    return;
  }
  for (const {name} of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const {name, value} of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  [...old.childNodes].forEach((kid, i) => sync(kid, kids[i]));
}

function replaceLive(doc) {
  const focused = document.activeElement && document.activeElement.id;
  for (const old of document.querySelectorAll("[data-live]")) {
    const fresh = doc.getElementById(old.id);
    if (fresh) sync(old, fresh);
  }
  const again = focused && document.getElementById(focused);
  if (again && again !== document.activeElement) again.focus({preventScroll: true});
}

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.pathname);
    if (answer.status === 401) {
      location.reload(); // the session has ended: the reload leads to the login form
      return;
    }
    if (!answer.ok) throw new Error(answer.status);
    replaceLive(new DOMParser().parseFromString(await answer.text(), "text/html"));
    document.body.classList.remove("stale");
  } catch {
    document.body.classList.add("stale"); // Stoker is away; what is shown is old
  }
}

async function keepCurrent() {
  await refresh();
  setTimeout(keepCurrent, period);
}

setTimeout(keepCurrent, period);
document.addEventListener("visibilitychange", refresh);

/** Waits for conditions, never for time. */
const EVERY_MS = 25;

/** Resolves with the first truthy answer of `check`; what it throws counts as not yet. */
export async function eventually(what, check, within = 15_000) {
  const deadline = Date.now() + within;
  let last;
  for (;;) {
    try {
      last = await check();
      if (last) return last;
    } catch (cause) {
      last = cause;
    }
    if (Date.now() > deadline) throw new Error(`not within ${within} ms: ${what} (last: ${last})`);
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

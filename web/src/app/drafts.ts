/** What was typed and not sent, by room, for as long as the tab lives. */
const PREFIX = 'loquat.draft.';

export function draftOf(roomId: string): string {
  return sessionStorage.getItem(PREFIX + roomId) ?? '';
}

export function keepDraft(roomId: string, text: string): void {
  if (text) sessionStorage.setItem(PREFIX + roomId, text);
  else sessionStorage.removeItem(PREFIX + roomId);
}

/** Whoever signs in next does not see them. */
export function dropDrafts(): void {
  for (const key of Object.keys(sessionStorage)) if (key.startsWith(PREFIX)) sessionStorage.removeItem(key);
}

/** What was typed and not sent, by room, for as long as the tab lives. */
const PREFIX = 'loquat.draft.';

export function draftOf(roomId: string): string {
  return sessionStorage.getItem(PREFIX + roomId) ?? '';
}

export function keepDraft(roomId: string, text: string): void {
  if (text) sessionStorage.setItem(PREFIX + roomId, text);
  else sessionStorage.removeItem(PREFIX + roomId);
}

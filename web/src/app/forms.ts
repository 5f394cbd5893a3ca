/** Forms: what was entered, whether it is on its way, and what the server says of each field. */
import { type FormEvent, useState } from 'react';
import { ApiError, describeError, sentence } from '../api/errors';

export interface Problem {
  /** What belongs to no field of the form. */
  readonly text: string;
  /** By the name of the field. */
  readonly fields: Readonly<Record<string, string>>;
  readonly reason: string;
}

/** Reasons that are about one field, where the server names none. */
const REASON_FIELDS: Readonly<Record<string, string>> = {
  USERNAME_TAKEN: 'username',
  BAD_CREDENTIALS: 'current_password',
};

/** `known` are the fields of the form; what is wrong elsewhere is told as text, so that nothing is swallowed. */
export function problemOf(cause: unknown, known: readonly string[]): Problem {
  if (!(cause instanceof ApiError)) return { text: describeError(cause), fields: {}, reason: '' };
  const fields: Record<string, string> = {};
  const rest: string[] = [];
  for (const violation of cause.violations) {
    // `rooms[0].room_id` is shown at `rooms`.
    const name = violation.field.split(/[.[]/)[0] ?? '';
    if (known.includes(name)) fields[name] = [fields[name], sentence(violation)].filter(Boolean).join(' ');
    else rest.push(sentence(violation));
  }
  const field = REASON_FIELDS[cause.reason];
  if (field && known.includes(field)) fields[field] ??= cause.message;
  const told = Object.keys(fields).length > 0;
  return { text: rest.join(' ') || (told ? '' : cause.message), fields, reason: cause.reason };
}

export class Values {
  constructor(private readonly data: FormData) {}

  /** As it was typed. */
  raw(name: string): string {
    return String(this.data.get(name) ?? '');
  }

  text(name: string): string {
    return this.raw(name).trim();
  }

  number(name: string): number {
    return Number(this.text(name)) || 0;
  }

  all(name: string): string[] {
    return this.data.getAll(name).map(String);
  }
}

export function useForm(known: readonly string[], submit: (values: Values, form: HTMLFormElement) => Promise<void>) {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  const onSubmit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    // A form inside a dialog is inside the page's as React sees it.
    event.stopPropagation();
    const form = event.currentTarget;
    setBusy(true);
    setProblem(undefined);
    try {
      await submit(new Values(new FormData(form)), form);
    } catch (cause) {
      setProblem(problemOf(cause, known));
    } finally {
      setBusy(false);
    }
  };
  return { busy, problem, fields: problem?.fields ?? {}, onSubmit, clear: () => setProblem(undefined) };
}

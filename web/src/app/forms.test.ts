import { describe, expect, it } from 'vitest';
import { ApiError } from '../api/errors';
import { problemOf, Values } from './forms';

const wrong = (...violations: { field: string; description: string }[]) =>
  new ApiError('invalid_argument', 'The request is not valid.', 'INVALID_REQUEST', violations);

describe('what is wrong with a form', () => {
  it('is told at its field', () => {
    const problem = problemOf(wrong({ field: 'name', description: 'must have 1 to 64 characters' }), [
      'name',
      'scopes',
    ]);
    expect(problem.fields).toEqual({ name: 'Name must have 1 to 64 characters.' });
    expect(problem.text).toBe('');
  });

  it('is told as text when the form has no such field, and then as well as the rest', () => {
    const cause = wrong(
      { field: 'name', description: 'Say something.' },
      { field: 'op_id', description: 'must be a UUID' },
    );
    expect(problemOf(cause, ['name'])).toMatchObject({
      fields: { name: 'Say something.' },
      text: 'Op id must be a UUID.',
    });
  });

  it('belongs to a list when it is about one of its entries', () => {
    const cause = wrong({ field: 'rooms[3].room_id', description: 'must be an id' });
    expect(problemOf(cause, ['rooms']).fields).toEqual({ rooms: 'Room id must be an id.' });
  });

  it('is known by its reason where no field is named', () => {
    const cause = new ApiError('unauthenticated', 'That is not the password.', 'BAD_CREDENTIALS');
    expect(problemOf(cause, ['current_password'])).toMatchObject({
      text: '',
      fields: { current_password: 'That is not the password.' },
    });
    expect(problemOf(cause, ['username'])).toMatchObject({ text: 'That is not the password.', fields: {} });
  });
});

describe('values', () => {
  it('are trimmed unless they are passwords, and numbers are 0 when nothing was entered', () => {
    const data = new FormData();
    data.append('name', '  Ann ');
    data.append('days', '');
    data.append('scope', 'a');
    data.append('scope', 'b');
    const values = new Values(data);
    expect(values.text('name')).toBe('Ann');
    expect(values.raw('name')).toBe('  Ann ');
    expect(values.number('days')).toBe(0);
    expect(values.all('scope')).toEqual(['a', 'b']);
  });
});

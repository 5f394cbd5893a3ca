import { Copy, Ellipsis, Pencil, Trash2 } from 'lucide-react';
import { type KeyboardEvent, memo, type ReactNode, useState } from 'react';
import { avatarUrls } from '../../api/files';
import { nameOf, useUser } from '../../app/hooks';
import type { Message } from '../../model/types';
import { Avatar } from '../../ui/Avatar';
import { IconButton } from '../../ui/Button';
import { cx } from '../../ui/cx';
import { Menu, MenuItem } from '../../ui/Menu';
import { Tag } from '../../ui/Table';
import { Attachments } from './Attachments';
import { LinkPreviews } from './LinkPreviews';
import { MessageEditor } from './MessageEditor';
import { MessageText } from './MessageText';
import { momentOf, timeOf } from './time';

export interface MessageActions {
  readonly edit: (message: Message) => void;
  readonly save: (message: Message, text: string) => void;
  readonly cancel: () => void;
  readonly remove: (message: Message) => void;
  readonly removePreviews: (message: Message) => void;
  readonly copy: (message: Message) => void;
}

interface MessageItemProps {
  message: Message;
  first: boolean;
  mine: boolean;
  mayEdit: boolean;
  mayDelete: boolean;
  editing: boolean;
  actions: MessageActions;
}

export const MessageItem = memo(function MessageItem(props: MessageItemProps) {
  const { message, first, mine, mayEdit, mayDelete, editing, actions } = props;
  const { webhook } = message;
  const author = useUser(webhook ? '' : message.authorId);
  const deleted = message.deletedAt > 0;
  const press = (event: KeyboardEvent<HTMLElement>) => {
    if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey || deleted) return;
    if (event.key === 'e' && mayEdit) {
      event.preventDefault();
      actions.edit(message);
    } else if (event.key === 'Delete' && mayDelete) actions.remove(message);
  };
  return (
    <MessageFrame
      authorId={message.authorId}
      name={webhook || nameOf(author)}
      webhook={webhook !== ''}
      at={message.createdAt || message.deletedAt}
      first={first && message.authorId !== ''}
      onKeyDown={press}
      testData={{
        'data-testid': 'message-item',
        'data-message-id': message.id,
        'data-seq': message.seq,
        'data-mine': mine,
        'data-webhook': webhook !== '',
        'data-deleted': deleted,
      }}
      className={editing ? 'bg-loquat-soft/40' : undefined}
      toolbar={!deleted && !editing ? <Toolbar {...props} /> : undefined}
    >
      {deleted ? (
        <p className="text-ink-faint italic">This message was deleted.</p>
      ) : (
        <>
          {editing && (
            <MessageEditor
              text={message.text}
              mayBeEmpty={message.files.length > 0}
              onSave={(text) => actions.save(message, text)}
              onCancel={actions.cancel}
            />
          )}
          {message.text && !editing && <MessageText text={message.text} />}
          {message.editedSeq > 0 && !editing && (
            <span data-testid="edited" title={momentOf(message.editedAt)} className="text-[12px] text-ink-faint">
              edited
            </span>
          )}
          {message.files.length > 0 && <Attachments files={message.files} />}
          {message.previews.length > 0 && !editing && (
            <LinkPreviews
              previews={message.previews}
              onRemove={mayDelete ? () => actions.removePreviews(message) : undefined}
            />
          )}
        </>
      )}
    </MessageFrame>
  );
});

interface MessageFrameProps {
  authorId: string;
  name: string;
  at: number;
  first: boolean;
  faded?: boolean;
  /** A program says it and not a person. */
  webhook?: boolean;
  className?: string;
  testData: Record<string, string | number | boolean>;
  toolbar?: ReactNode;
  onKeyDown?: (event: KeyboardEvent<HTMLElement>) => void;
  children: ReactNode;
}

/** The picture of an author, their name and the time, and what they said. */
export function MessageFrame(props: MessageFrameProps) {
  const { authorId, name, at, first, faded, webhook, className, testData, toolbar, onKeyDown, children } = props;
  // Hundreds of rows, and one that somebody points at: only that one gets its buttons.
  const [active, setActive] = useState(false);
  const activate = () => setActive(true);
  return (
    <article
      {...testData}
      onPointerEnter={activate}
      onFocus={activate}
      onPointerLeave={(event) => setActive(event.currentTarget.querySelector('[data-state=open], :focus') !== null)}
      onBlur={(event) =>
        !event.currentTarget.matches(':hover') && setActive(event.currentTarget.contains(event.relatedTarget))
      }
      // Reached from the composer with Shift+Tab, then with the arrows.
      tabIndex={-1}
      data-row=""
      aria-label={`${name}, ${timeOf(at)}`}
      onKeyDown={onKeyDown}
      className={cx(
        'group/message relative flex gap-3 px-5 py-0.5 transition-colors hover:bg-sunken/70 focus-visible:-outline-offset-2',
        'has-[[data-state=open]]:bg-sunken/70',
        first && 'mt-3',
        className,
      )}
    >
      <div className="w-9 shrink-0 pt-0.5">
        {first ? (
          <AuthorPicture id={authorId} name={name} webhook={webhook} />
        ) : (
          <time className="hidden pt-px text-right text-[11px] text-ink-faint tabular-nums leading-[22px] group-hover/message:block">
            {timeOf(at)}
          </time>
        )}
      </div>
      <div className={cx('min-w-0 flex-1', faded && 'opacity-60')}>
        {first && (
          <div className="flex items-baseline gap-2 leading-snug">
            <span data-testid="message-author" className="truncate font-semibold">
              {name}
            </span>
            {webhook && (
              <span data-testid="webhook-badge" className="shrink-0">
                <Tag>webhook</Tag>
              </span>
            )}
            <time title={momentOf(at)} className="shrink-0 text-[12px] text-ink-faint tabular-nums">
              {timeOf(at)}
            </time>
          </div>
        )}
        <div data-testid="message-body">{children}</div>
      </div>
      {active && toolbar}
    </article>
  );
}

function AuthorPicture({ id, name, webhook }: { id: string; name: string; webhook?: boolean | undefined }) {
  const author = useUser(webhook ? '' : id);
  return <Avatar id={id} name={name} pictures={avatarUrls(author?.avatarFileId)} />;
}

function Toolbar({ message, mayEdit, mayDelete, actions }: MessageItemProps) {
  return (
    <div className="absolute -top-4 right-5 flex items-center rounded-lg border border-line bg-raised p-0.5 shadow-sm">
      {mayEdit && (
        <IconButton label="Edit message" data-testid="message-edit" size="small" onClick={() => actions.edit(message)}>
          <Pencil size={15} />
        </IconButton>
      )}
      <Menu
        trigger={
          <IconButton label="More" data-testid="message-menu" size="small">
            <Ellipsis size={16} />
          </IconButton>
        }
      >
        {message.text && (
          <MenuItem icon={<Copy size={15} />} onSelect={() => actions.copy(message)}>
            Copy text
          </MenuItem>
        )}
        {mayEdit && (
          <MenuItem icon={<Pencil size={15} />} onSelect={() => actions.edit(message)}>
            Edit
          </MenuItem>
        )}
        {mayDelete && (
          <MenuItem danger testId="message-delete" icon={<Trash2 size={15} />} onSelect={() => actions.remove(message)}>
            Delete…
          </MenuItem>
        )}
      </Menu>
    </div>
  );
}

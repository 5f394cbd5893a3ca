import { nameOf, useModel, useUser } from '../../app/hooks';
import { typingIn } from '../../model/selectors';

function Name({ id }: { id: string }) {
  return <span className="font-medium text-ink-soft">{nameOf(useUser(id))}</span>;
}

/** Always as high, so that nothing jumps. */
export function TypingLine({ roomId }: { roomId: string }) {
  const joined = useModel((state) => typingIn(state, roomId).join(' '));
  const ids = joined ? joined.split(' ') : [];
  const [first, second] = ids;
  return (
    <div data-testid="typing" className="flex h-6 items-center gap-1.5 truncate px-6 text-[12.5px] text-ink-faint">
      {first && (
        <>
          <span aria-hidden="true" className="flex gap-0.5">
            {[0, 150, 300].map((delay) => (
              <span
                key={delay}
                className="size-1 animate-bounce rounded-full bg-loquat"
                style={{ animationDelay: `${delay}ms` }}
              />
            ))}
          </span>
          {ids.length > 2 ? (
            'Several people are typing'
          ) : (
            <span>
              <Name id={first} />
              {second && (
                <>
                  {' and '}
                  <Name id={second} />
                </>
              )}
              {second ? ' are typing' : ' is typing'}
            </span>
          )}
        </>
      )}
    </div>
  );
}

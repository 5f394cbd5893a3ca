/** Markdown as people write it. HTML stays text, pictures from elsewhere stay links. */
import { memo, useMemo } from 'react';
import Markdown, { type Components } from 'react-markdown';
import remarkGfm from 'remark-gfm';
import { useEngine } from '../../app/hooks';
import { markMentionsOf } from './mentions';

function ExternalLink({ href, children }: { href?: string; children?: React.ReactNode }) {
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  );
}

const COMPONENTS: Components = {
  a: ({ href, children }) => <ExternalLink href={href}>{children}</ExternalLink>,
  img: ({ src, alt }) => <ExternalLink href={typeof src === 'string' ? src : undefined}>{alt || src}</ExternalLink>,
};

export const MessageText = memo(function MessageText({ text }: { text: string }) {
  const { username } = useEngine().me;
  const plugins = useMemo(() => [remarkGfm, markMentionsOf(username)], [username]);
  return (
    <div className="prose-message">
      <Markdown remarkPlugins={plugins} components={COMPONENTS}>
        {text}
      </Markdown>
    </div>
  );
});

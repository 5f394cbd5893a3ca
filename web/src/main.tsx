import './app/styles.css';
import { createRoot } from 'react-dom/client';
import { App } from './app/App';
import { followFocus } from './app/focus';
import { followHistory } from './app/route';
import { followSystemTheme } from './app/theme';

followSystemTheme();
followFocus();
followHistory();

const root = document.getElementById('root');
if (root) createRoot(root).render(<App />);

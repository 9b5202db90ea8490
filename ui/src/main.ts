import './components/app/app.js';
import { applyTheme } from './data/theme.js';

applyTheme();

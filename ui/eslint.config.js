import js from '@eslint/js';
import { configs as lit } from 'eslint-plugin-lit';
import typescript from 'typescript-eslint';

export default typescript.config(
  { ignores: ['src/api/schema.ts', 'eslint.config.js'] },
  js.configs.recommended,
  ...typescript.configs.strictTypeChecked,
  lit['flat/recommended'],
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // Event listeners and lifecycle methods may start work whose errors the callee shows.
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: false }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // Lit calls the listeners of a template with its element as `this`.
      '@typescript-eslint/unbound-method': 'off',
      // The policy of the page forbids style attributes; what is measured is set on the element's style object.
      'no-restricted-imports': [
        'error',
        {
          paths: [
            'lit/directives/style-map.js',
            'lit/directives/unsafe-html.js',
            'lit/directives/unsafe-svg.js',
          ],
        },
      ],
      'no-restricted-globals': ['error', { name: 'fetch', message: 'Use api/client.ts: it adds the token.' }],
    },
  },
  { files: ['src/api/wire.ts'], rules: { 'no-restricted-globals': 'off' } },
);

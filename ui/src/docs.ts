/** The description of the API, rendered by Swagger UI, for people who are logged in in this browser. */
import { Client } from './api/client.js';
import { readable } from './api/problem.js';
import { Session } from './api/session.js';
import { texts } from './texts.js';

const words = texts.docs;
const session = new Session();
const client = new Client(session);

function place(): HTMLElement {
  const element = document.getElementById('docs');
  if (!element) throw new Error('the page has no place for the description');
  return element;
}

function note(text: string, link?: { href: string; text: string }): void {
  const box = document.createElement('div');
  const heading = document.createElement('h1');
  const paragraph = document.createElement('p');
  box.className = 'docs-note';
  heading.textContent = words.title;
  paragraph.textContent = text;
  if (link) {
    const anchor = document.createElement('a');
    anchor.href = link.href;
    anchor.textContent = link.text;
    paragraph.append(' ', anchor);
  }
  box.append(heading, paragraph);
  place().replaceChildren(box);
}

async function show(): Promise<void> {
  note(words.loading);
  await session.start();
  if (!session.user) {
    note(words.logIn, { href: '/', text: words.logInLink });
    return;
  }
  const answer = await client.open('GET', '/api/openapi.json');
  const description: unknown = await answer.json();
  const { default: SwaggerUI } = await import('swagger-ui-dist/swagger-ui-es-bundle.js');
  await import('swagger-ui-dist/swagger-ui.css');
  place().replaceChildren();
  SwaggerUI({
    domNode: place(),
    spec: description,
    // The default asks another host whether the description is valid.
    validatorUrl: null,
    tryItOutEnabled: true,
    docExpansion: 'list',
    defaultModelsExpandDepth: 0,
    requestInterceptor: async request => {
      request.headers['Authorization'] ??= `Bearer ${await session.bearer()}`;
      return request;
    },
  });
}

show().catch((error: unknown) => {
  note(`${words.failed} ${readable(error)}`);
});

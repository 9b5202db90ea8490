import { expect, it } from 'vitest';

import { csv } from './csv.js';

it('quotes what needs it and makes no formula', () => {
  expect(
    csv([
      ['a', 'b,c', 'say "no"', 'two\nlines'],
      ['=1+1', '-2', '@x', ''],
    ]),
  ).toBe(`a,"b,c","say ""no""","two\nlines"\r\n'=1+1,'-2,'@x,\r\n`);
});

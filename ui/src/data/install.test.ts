import { describe, expect, it } from 'vitest';

import { textOf, words } from './form.js';
import { powerShellCommand, shellCommand } from './install.js';

describe('the commands that install an agent', () => {
  it('put the token into a file and never on a command line of curl or sh', () => {
    const [first, ...rest] = shellCommand('https://hub:8040', 'web-1', 'ffx_1_secret').split('\n');
    expect(first).toBe("umask 077; printf '%s\\n' 'ffx_1_secret' > fileflux-token");
    expect(rest.join('\n')).not.toContain('secret');
    expect(rest.join('\n')).toContain('https://hub:8040/install.sh');
  });

  it('quote a name that a shell would read', () => {
    expect(shellCommand('http://h', 'a b', 't')).toContain("--name 'a b'");
    expect(shellCommand('http://h', "it's $(x)", 't')).toContain(`--name 'it'\\''s $(x)'`);
    expect(powerShellCommand('http://h', "it's", 't')).toContain("-Name 'it''s'");
  });
});

it('reads forms', () => {
  const form = new FormData();
  form.set('name', '  web-1 ');
  form.set('file', new Blob(['x']));
  expect([textOf(form, 'name'), textOf(form, 'file'), textOf(form, 'nothing')]).toEqual(['web-1', '', '']);
  expect(words(' a, b,,c ')).toEqual(['a', 'b', 'c']);
});

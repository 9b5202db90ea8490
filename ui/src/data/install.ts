/** The commands that install an agent, as docs/how-to/install-an-agent.md has them. */

/** For a shell of Linux or macOS. The token goes into a file: other users see command lines. */
export function shellCommand(hub: string, name: string, token: string): string {
  return [
    `umask 077; printf '%s\\n' '${token}' > fileflux-token`,
    `curl -fsSL ${hub}/install.sh | sh -s -- --token-file fileflux-token \\`,
    `  --read /srv/data --write /srv/incoming --name ${shellWord(name)}`,
  ].join('\n');
}

export function powerShellCommand(hub: string, name: string, token: string): string {
  return [
    `Set-Content -NoNewline fileflux-token '${token}'`,
    `& ([scriptblock]::Create((Invoke-RestMethod ${hub}/install.ps1))) -TokenFile fileflux-token \``,
    `  -Read C:\\data -Write C:\\incoming -Name '${name.replaceAll("'", "''")}'`,
  ].join('\n');
}

function shellWord(text: string): string {
  return /^[\w.-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** What people typed into a form. */

/** What a form says under a name, trimmed; empty for what it has not, and for a file. */
export function textOf(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === 'string' ? value.trim() : '';
}

/** Words that people separate by commas. */
export function words(text: string): string[] {
  return text
    .split(',')
    .map(word => word.trim())
    .filter(Boolean);
}

export function linesOf(form: FormData, name: string): string[] {
  return textOf(form, name)
    .split('\n')
    .map(line => line.trim())
    .filter(Boolean);
}

/** The part of the bundle that the page of the API uses; the package brings no types. */
declare module 'swagger-ui-dist/swagger-ui-es-bundle.js' {
  interface Request {
    headers: Record<string, string>;
  }
  interface Options {
    domNode: HTMLElement;
    spec: unknown;
    validatorUrl: string | null;
    tryItOutEnabled: boolean;
    docExpansion: 'list' | 'full' | 'none';
    defaultModelsExpandDepth: number;
    requestInterceptor: (request: Request) => Promise<Request>;
  }
  export default function SwaggerUI(options: Options): void;
}

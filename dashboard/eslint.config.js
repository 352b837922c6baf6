import js from "@eslint/js";
import jsxA11y from "eslint-plugin-jsx-a11y";
import hooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["node_modules", "public"] },
  js.configs.recommended,
  {
    files: ["**/*.{ts,tsx}"],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // Numbers in sentences are meant; objects in them stay errors.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true }],
    },
  },
  {
    files: ["src/**/*.{ts,tsx}"],
    plugins: { "react-hooks": hooks, ...jsxA11y.flatConfigs.strict.plugins },
    rules: {
      ...hooks.configs.recommended.rules,
      ...jsxA11y.flatConfigs.strict.rules,
      // Scrolling regions are focusable, so that a keyboard can scroll them; explicit table roles survive a change of `display`.
      "jsx-a11y/no-noninteractive-tabindex": "off",
      "jsx-a11y/no-redundant-roles": "off",
      "jsx-a11y/no-interactive-element-to-noninteractive-role": "off",
      "no-restricted-properties": ["error", { object: "Math", property: "random", message: "Use crypto.getRandomValues." }],
      "no-restricted-syntax": [
        "error",
        { selector: "JSXAttribute[name.name='dangerouslySetInnerHTML']", message: "What nodes say is text, never markup." },
      ],
    },
  },
  { files: ["scripts/**", "*.js"], languageOptions: { globals: { URL: "readonly", process: "readonly", console: "readonly" } } },
);

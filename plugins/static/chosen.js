// A file that somebody chooses is put into a text field, where it can be read and changed before it is sent.
for (const input of document.querySelectorAll('input[type="file"][data-into]')) {
  const text = document.getElementById(input.dataset.into);
  input.hidden = false;
  input.addEventListener("change", async () => {
    const [file] = input.files;
    if (!file) return;
    input.setCustomValidity("");
    if (file.size > 4 * text.maxLength) {
      input.setCustomValidity(`The file has more than ${text.maxLength} characters.`);
      input.reportValidity();
      return;
    }
    const said = await file.text();
    if (said.length > text.maxLength) {
      input.setCustomValidity(`The file has more than ${text.maxLength} characters.`);
      input.reportValidity();
      return;
    }
    text.value = said;
  });
}

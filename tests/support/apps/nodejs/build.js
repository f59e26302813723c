// Needs a development package, which must be there now and gone when the app runs.
require('picocolors');
require('fs').writeFileSync('built', 'yes');

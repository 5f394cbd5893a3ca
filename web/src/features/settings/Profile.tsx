import { useForm } from '../../app/forms';
import { useEngine, useMe } from '../../app/hooks';
import { notify } from '../../app/toasts';
import { Button } from '../../ui/Button';
import { Field } from '../../ui/Field';
import { FormError } from '../../ui/Notices';
import { Section } from '../../ui/Page';
import { TextArea } from '../../ui/TextArea';
import { ProfilePicture } from './ProfilePicture';

const FIELDS = ['display_name', 'title', 'about'];

export function Profile() {
  const { account } = useEngine();
  const me = useMe();
  const form = useForm(FIELDS, async (values) => {
    const [displayName, title, about] = [values.text('display_name'), values.text('title'), values.text('about')];
    await account.update({ displayName, title, about });
    notify('Your profile is saved.');
  });
  return (
    <Section title="Profile" text="How others see you, wherever you write.">
      <ProfilePicture />
      <form onSubmit={form.onSubmit} data-testid="profile-form" className="flex flex-col gap-4">
        <Field
          label="Your name"
          name="display_name"
          data-testid="profile-name"
          maxLength={64}
          autoComplete="name"
          placeholder={me.username}
          defaultValue={me.displayName}
          hint={`You sign in as ${me.username}, which stays as it is.`}
          error={form.fields.display_name}
        />
        <Field
          label="What you do"
          name="title"
          data-testid="profile-title"
          maxLength={64}
          autoComplete="organization-title"
          placeholder="Support"
          defaultValue={me.title}
          error={form.fields.title}
        />
        <TextArea
          label="About you"
          name="about"
          data-testid="profile-about"
          maxLength={500}
          defaultValue={me.about}
          error={form.fields.about}
        />
        <FormError text={form.problem?.text} />
        <Button type="submit" tone="primary" busy={form.busy} data-testid="profile-save" className="self-start">
          Save
        </Button>
      </form>
    </Section>
  );
}
